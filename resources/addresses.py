"""Addresses that may carry secrets: how to show them, and how to take the secret out."""

from urllib.parse import unquote, urlsplit, urlunsplit

_HIDDEN = "***"


def masked(address: str) -> str:
    """The address without password and without options, fit for a log.

    It also hides what a badly written address may have put into the wrong place: everything between
    `//` and the last `@` but a plain user name.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _HIDDEN if "@" in address else address
    # A password may hold a raw `?` or `/`: the credentials end at the last `@`, wherever it stands.
    credentials, at, location = rest.rpartition("@")
    location = location.split("?", 1)[0]
    if not at:
        return f"{scheme}://{location}"
    user = credentials.split(":", 1)[0]
    shown = user if user.replace("-", "").replace("_", "").isalnum() else _HIDDEN
    return f"{scheme}://{shown}:{_HIDDEN}@{location}"


def split_credentials(address: str) -> tuple[str, str | None, str | None]:
    """An HTTP address as (address without credentials, user, password)."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address, None, None
    credentials, _, host = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    return urlunsplit(parts._replace(netloc=host)), unquote(user), unquote(password)
