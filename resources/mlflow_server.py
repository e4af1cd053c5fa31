"""The address of MLflow: whether its server answers, accepts us and fits the client, and what its errors mean."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from resources.addresses import masked, split_credentials
from resources.errors import IncompatibleMlflow, MlflowRefused, MlflowUnavailable
from resources.mlflow_errors import AWAY, DENIED, Cause, cause_of, loaded_class

if TYPE_CHECKING:
    from mlflow import MlflowClient

OLDEST_SERVER = (2, 9)
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PROBE_FILE = "nhm-shared-store.txt"


class MlflowServer:
    """The server or the database of MLflow.

    Args:
        uri: its address, which may hold a user and a password.
        timeout_s: seconds until a server that does not answer is an error.
        by_library: whether settings of MLflow's own library hold, so that it must be imported to ask for them.
    """

    def __init__(self, uri: str, *, timeout_s: float, by_library: bool = True) -> None:
        self.timeout_s = timeout_s
        self._by_library = by_library
        self.masked = masked(uri)
        self.over_http = uri.lower().startswith(("http://", "https://"))
        self.address, self.user, self.password = split_credentials(uri) if self.over_http else (uri, None, None)

    def require_usable(self) -> None:
        """Check the address, and that a server there answers, accepts us and fits the client.

        Raises:
            MlflowUnavailable: the server cannot be reached.
            MlflowRefused: it refuses us, or the address cannot be used.
            IncompatibleMlflow: client and server cannot work together.
        """
        if self.over_http:
            self._require_fitting_server()
        elif re.split(r"\+|://", self.address)[0] not in _DATABASES:
            raise self._unusable()

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn connection errors and refusals of MLflow's client into ours; other errors pass."""
        try:
            yield
        except Exception as error:
            ours = self._of(cause_of(error)) if _is_of_a_client(error) else None
            if ours is None:
                raise
            raise ours from None

    def require_shared_artifacts(self, client: "MlflowClient", run_id: str, artifact_uri: str, experiment: str) -> None:
        """Check that files logged here reach more than the disk of this machine.

        A server whose artifact root is a folder makes each client write to its own folder of that name. That works
        where the folder is shared, so one small file is written, and the server is asked whether it sees it.

        Raises:
            MlflowRefused: it does not see it, or the folder cannot be written to here.
        """
        if not self.over_http or re.match(r"[a-z][a-z0-9+.-]+:", artifact_uri.removeprefix("file:")):
            return
        try:
            client.log_text(run_id, "Written by the trainer, to see whether the server sees it.\n", _PROBE_FILE)
            listed = self._get(f"/api/2.0/mlflow/artifacts/list?run_id={run_id}").text
        except OSError:
            listed = ""
        if _PROBE_FILE not in listed:
            raise MlflowRefused(
                f"MLflow at {self.masked} has clients store the files of experiment {experiment} in the folder"
                f" {artifact_uri}, and does not see what this machine writes there: a model would lie on this machine's"
                " disk only, where no specialist can load it. Start the server with --serve-artifacts and"
                " --artifacts-destination, or with a --default-artifact-root that all share, like s3://bucket. An"
                " experiment keeps the root that it was created with: rename it, so that a new one is created"
            )

    def _require_fitting_server(self) -> None:
        own_version = client_version()
        server_version = self._get_ok("/version").text.strip()
        if not fits(own_version, server_version, address=self.masked):
            raise IncompatibleMlflow(
                f"the MLflow client {own_version} cannot work with the MLflow server {server_version} at"
                f" {self.masked}: use client 3.x with server 3.x, or client 2.22 with server 2.9 or newer"
            )
        # /version answers everybody; the registry may still refuse our credentials or our host name.
        self._get_ok("/api/2.0/mlflow/registered-models/search?max_results=1")

    def _get(self, path: str) -> Any:
        """The answer to a request that uses the same login and certificates as MLflow's client."""
        import requests

        access = self.access()
        try:
            return requests.get(
                f"{self.address.rstrip('/')}{path}", timeout=self.timeout_s, allow_redirects=False, **access
            )
        except ValueError:
            # The text of this error quotes the address, which may hold a password.
            raise self._unusable() from None
        except OSError as error:
            raise self._of(cause_of(error)) or self._unusable() from None

    def _get_ok(self, path: str) -> Any:
        """The same, if the server answers with status 200."""
        import requests

        response = self._get(path)
        if response.status_code != requests.codes.ok:
            raise self.answered(response.status_code, response.headers.get("Location"))
        return response

    def access(self) -> dict[str, Any]:
        """Login and certificates as `requests` takes them: from the address, else from MLflow's own settings.

        These are MLFLOW_TRACKING_TOKEN, _USERNAME, _PASSWORD, MLFLOW_TRACKING_SERVER_CERT_PATH and
        MLFLOW_TRACKING_INSECURE_TLS.

        Raises:
            MlflowRefused: MLflow's own settings contradict each other.
        """
        if not self._by_library:
            return {"auth": (self.user, self.password or "")} if self.user is not None else {}
        from mlflow.exceptions import MlflowException
        from mlflow.utils.credentials import get_default_host_creds

        try:
            settings = get_default_host_creds(self.address)
        except MlflowException as error:
            raise MlflowRefused(f"the settings of MLflow contradict each other: {error}") from None
        access = {"verify": settings.verify, "cert": settings.client_cert_path}
        if self.user is not None:
            return {**access, "auth": (self.user, self.password or "")}
        if settings.username and settings.password:
            return {**access, "auth": (settings.username, settings.password)}
        if settings.token:
            return {**access, "headers": {"Authorization": f"Bearer {settings.token}"}}
        return access

    def _login(self) -> str:
        if not self._by_library:
            return f"user {self.user}" if self.user else "requests without a login"
        from mlflow.utils.credentials import get_default_host_creds

        settings = get_default_host_creds(self.address)
        user = self.user or (settings.password and settings.username)
        if user:
            return f"user {user}"
        return "the token of MLFLOW_TRACKING_TOKEN" if settings.token else "requests without a login"

    def _of(self, cause: Cause) -> MlflowUnavailable | MlflowRefused | None:
        """Our error for a cause; None for one that has nothing to do with the connection."""
        if cause.missing_file:
            return MlflowRefused(
                f"the file {cause.missing_file} with certificates for MLflow does not exist: check"
                " MLFLOW_TRACKING_SERVER_CERT_PATH, MLFLOW_TRACKING_CLIENT_CERT_PATH and REQUESTS_CA_BUNDLE"
            )
        if cause.untrusted:
            return MlflowRefused(
                f"the certificate of MLflow at {self.masked} is not trusted ({cause.untrusted}): set"
                " MLFLOW_TRACKING_SERVER_CERT_PATH to the file of its certificate authority"
            )
        if cause.denied:
            return MlflowRefused(
                f"MLflow's database {self.masked} refuses the login ({cause.denied}): check user and password in"
                " MLFLOW_TRACKING_URI"
            )
        if cause.status:
            return self.answered(cause.status)
        return self._unavailable(cause.away) if cause.away else None

    def answered(self, status: int, moved_to: str | None = None) -> MlflowUnavailable | MlflowRefused:
        """Our error for an answer with this status, which refers to another address if `moved_to` is one."""
        if status in AWAY:
            return MlflowUnavailable(
                f"MLflow at {self.masked} answers {status}, so it or a proxy before it cannot serve requests now: if"
                " this does not pass, read the log of the server"
            )
        if status in DENIED:
            return MlflowRefused(
                f"MLflow at {self.masked} answers {status}: it refuses {self._login()}. Check user and password in"
                " MLFLOW_TRACKING_URI, their rights, and that MLFLOW_SERVER_ALLOWED_HOSTS of the server names this"
                " host, with and without port"
            )
        to = f" (it refers to {masked(moved_to)})" if moved_to else ""
        return MlflowRefused(
            f"the server at MLFLOW_TRACKING_URI {self.masked} answers {status}{to}, so it does not answer like MLflow:"
            " check that the address is that of MLflow, with its scheme, port and path"
        )

    def _unusable(self) -> MlflowRefused:
        return MlflowRefused(
            f"MLFLOW_TRACKING_URI is not a usable address ({self.masked}): write it like"
            " https://user:password@host:5000, with special characters percent-encoded"
        )

    def _unavailable(self, reason: str) -> MlflowUnavailable:
        return MlflowUnavailable(
            f"MLflow at {self.masked} cannot be reached ({reason}): check MLFLOW_TRACKING_URI, the network and whether"
            " the server runs, then run this again"
        )


def client_version() -> str:
    """The version of MLflow's client that is installed, whole or skinny."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return version("mlflow-skinny")


def _is_of_a_client(error: Exception) -> bool:
    """Whether MLflow's client, its HTTP library or its database raised this error."""
    known = loaded_class("mlflow.exceptions", "MlflowException") + loaded_class("sqlalchemy.exc", "DBAPIError")
    return isinstance(error, (sqlite3.Error, *known, *loaded_class("requests.exceptions", "RequestException")))


def fits(client: str, server: str, *, address: str = "") -> bool:
    """Whether an MLflow client can log models to a server, by their versions.

    A 3.x client needs a 3.x server; a 2.x client works with every server 2.9 or newer.

    Raises:
        MlflowRefused: the server's answer is not a version.
    """
    client_release, server_release = _release(client, address), _release(server, address)
    if client_release[0] >= 3:
        return server_release[0] >= 3
    return server_release >= OLDEST_SERVER


def _release(version: str, address: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    try:
        return int(major), int(rest.split(".", 1)[0])
    except ValueError:
        raise MlflowRefused(
            f"the server at MLFLOW_TRACKING_URI {address} does not answer like MLflow (its version reads"
            f" {version[:40]!r}):"
            " check that the address is that of MLflow"
        ) from None
