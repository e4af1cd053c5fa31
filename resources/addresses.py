"""Addresses that may carry secrets: how to show them, and how to take the secret out."""

from urllib.parse import unquote

_HIDDEN = "***"


def masked(address: str) -> str:
    """The address without password and without options, fit for a log.

    It also hides what a badly written address may have put into the wrong place: everything between
    `//` and the last `@` but a plain user name, and a location whose port is none.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _HIDDEN if "@" in address else address
    # A password may hold a raw `?` or `/`: the credentials end at the last `@`, wherever it stands.
    credentials, at, location = rest.rpartition("@")
    location = location.split("?", 1)[0]
    if not at:
        return f"{scheme}://{_HIDDEN if _looks_like_credentials(location) else location}"
    user = credentials.split(":", 1)[0]
    shown = user if user.replace("-", "").replace("_", "").isalnum() else _HIDDEN
    return f"{scheme}://{shown}:{_HIDDEN}@{location}"


def split_credentials(address: str) -> tuple[str, str | None, str | None]:
    """An HTTP address as (address without credentials, user, password)."""
    scheme, _, rest = address.partition("://")
    credentials, at, location = rest.rpartition("@")
    if not at:
        return address, None, None
    user, _, password = credentials.partition(":")
    return f"{scheme}://{location}", unquote(user), unquote(password)


def _looks_like_credentials(location: str) -> bool:
    """Whether user and password stand where host and port belong: a port is a number."""
    hosts = location.split("/", 1)[0].split(",")
    ports = (host.rpartition("]")[2].partition(":")[2] for host in hosts)
    return any(port and not port.isdigit() for port in ports)
