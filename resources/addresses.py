"""Addresses that may contain secrets: how to show them, and how to take the credentials out."""

from typing import Final
from urllib.parse import unquote, urlsplit

_HIDDEN = "***"

ARTIFACTS: Final = "mlflow-artifacts:/"
"""Begins the address of a folder in the artifact store of the MLflow server that MLFLOW_TRACKING_URI names."""
_SERVED_BELOW: Final = "/api/2.0/mlflow-artifacts/artifacts"


def masked(address: str) -> str:
    """The address without password and options, safe to log.

    It also hides secrets in the wrong place of a malformed address: everything between `//` and the last `@` except a
    plain user name, and a host whose port is not a number.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _HIDDEN if "@" in address else address
    # A password may contain a raw `?` or `/`, so the credentials end at the last `@`.
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
    """Whether user and password are in the place of host and port: a port would be a number."""
    hosts = location.split("/", 1)[0].split(",")
    ports = (host.rpartition("]")[2].partition(":")[2] for host in hosts)
    return any(port and not port.isdigit() for port in ports)


def artifacts_address(storage: str, tracking_uri: str | None) -> str:
    """The full address of a folder in the artifact store of an MLflow server, as `mlflow_artifacts` reads it.

    Args:
        storage: `mlflow-artifacts:/` and the folder.
        tracking_uri: address of the server.

    Raises:
        ValueError: there is no server, its address contains a password, or no folder is named.
    """
    server, folder = urlsplit(tracking_uri or ""), storage.removeprefix(ARTIFACTS).strip("/")
    if server.scheme not in ("http", "https"):
        raise ValueError(f"{ARTIFACTS} needs an MLflow server: set MLFLOW_TRACKING_URI to its http(s):// address")
    if "@" in server.netloc:
        raise ValueError(
            f"{ARTIFACTS} needs an MLFLOW_TRACKING_URI without user and password: set MLFLOW_TRACKING_USERNAME and"
            " MLFLOW_TRACKING_PASSWORD instead"
        )
    if not folder or folder.isdigit():
        raise ValueError(f"{ARTIFACTS} must name a folder, such as {ARTIFACTS}nhm; MLflow keeps experiments in numbers")
    protocol = {"http": "mlflow", "https": "mlflows"}[server.scheme]
    return f"{protocol}://{server.netloc}{server.path.rstrip('/')}{_SERVED_BELOW}/{folder}"


def web_address(address: str) -> str:
    """Where a browser finds a file of MLflow's artifact store. Addresses of other stores stay as they are."""
    protocol, separator, rest = address.partition("://")
    web = {"mlflow": "http", "mlflows": "https"}.get(protocol)
    return f"{web}{separator}{rest}" if web else address
