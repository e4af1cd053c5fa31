"""The address of MLflow: whether its server answers, accepts us and fits the client, and what its errors mean."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from resources.addresses import masked, split_credentials
from resources.errors import IncompatibleMlflow, MlflowRefused, MlflowUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

OLDEST_SERVER = (2, 9)
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_BUSY = (429, 500, 502, 503, 504)
_REFUSED = re.compile(r"failed with error code (401|403)\b")
_PROBE_FILE = "nhm-shared-store.txt"
_CONNECTION_ERRORS = ("failed with exception", "failed with timeout exception")


class MlflowServer:
    """The server or the database of MLflow.

    Args:
        uri: its address, which may hold a user and a password.
        timeout_s: seconds until a server that does not answer is an error.
    """

    def __init__(self, uri: str, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.masked = masked(uri)
        self._over_http = uri.lower().startswith(("http://", "https://"))
        self.address, self.user, self.password = split_credentials(uri) if self._over_http else (uri, None, None)

    def require_usable(self) -> None:
        """Check the address, and that a server there answers, accepts us and fits the client.

        Raises:
            MlflowUnavailable: the server cannot be reached.
            MlflowRefused: it refuses us, or the address cannot be used.
            IncompatibleMlflow: client and server cannot work together.
        """
        if self._over_http:
            self._require_fitting_server()
        elif re.split(r"\+|://", self.address)[0] not in _DATABASES:
            raise self._unusable()

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Turn connection errors and refusals of MLflow's client into ours; other errors pass."""
        from mlflow.exceptions import MlflowException
        from requests.exceptions import ConnectionError as RequestsConnectionError
        from requests.exceptions import Timeout

        try:
            yield
        except MlflowException as error:
            if refused := _REFUSED.search(str(error)):
                raise self._refused(int(refused[1])) from None
            if not any(words in str(error) for words in _CONNECTION_ERRORS):
                raise
            raise self._unavailable(error) from None
        except (RequestsConnectionError, Timeout) as error:
            raise self._unavailable(error) from None

    def require_shared_artifacts(self, client: "MlflowClient", run_id: str, artifact_uri: str, experiment: str) -> None:
        """Check that files logged here reach more than the disk of this machine.

        A server whose artifact root is a folder makes each client write to its own folder of that name. That works
        where the folder is shared, so one small file is written, and the server is asked whether it sees it.

        Raises:
            MlflowRefused: it does not see it, or the folder cannot be written to here.
        """
        if not self._over_http or re.match(r"[a-z][a-z0-9+.-]+:", artifact_uri.removeprefix("file:")):
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
        import mlflow
        import requests

        client_version = mlflow.__version__
        server_version = self._get("/version").text.strip()
        if not fits(client_version, server_version):
            raise IncompatibleMlflow(
                f"the MLflow client {client_version} cannot work with the MLflow server {server_version} at"
                f" {self.masked}: use client 3.x with server 3.x, or client 2.22 with server 2.9 or newer"
            )
        # /version answers everybody; the registry may still refuse our credentials or our host name.
        response = self._get("/api/2.0/mlflow/registered-models/search?max_results=1")
        if response.status_code != requests.codes.ok:
            raise self._refused(response.status_code)

    def _get(self, path: str) -> Any:
        import requests

        login = (self.user, self.password or "") if self.user is not None else None
        try:
            return requests.get(f"{self.address.rstrip('/')}{path}", auth=login, timeout=self._timeout_s)
        except ValueError:
            # The text of this error quotes the address, which may hold a password.
            raise self._unusable() from None
        except requests.RequestException as error:
            raise self._unavailable(error) from None

    def _refused(self, status: int) -> MlflowUnavailable | MlflowRefused:
        hints = {
            401: "check user and password in MLFLOW_TRACKING_URI",
            403: "check the rights of the user, and that MLFLOW_SERVER_ALLOWED_HOSTS of the server names this host,"
            " with and without port",
        }
        hint = hints.get(status, "read the log of the server")
        error = MlflowUnavailable if status in _BUSY else MlflowRefused
        return error(f"MLflow at {self.masked} answers {status}: {hint}")

    def _unusable(self) -> MlflowRefused:
        return MlflowRefused(
            f"MLFLOW_TRACKING_URI is not a usable address ({self.masked}): write it like"
            " https://user:password@host:5000, with special characters percent-encoded"
        )

    def _unavailable(self, error: Exception) -> MlflowUnavailable:
        return MlflowUnavailable(
            f"MLflow at {self.masked} cannot be reached ({root_reason(error)}): check MLFLOW_TRACKING_URI, the network"
            " and whether the server runs, then run this again"
        )


def fits(client: str, server: str) -> bool:
    """Whether an MLflow client can log models to a server, by their versions.

    A 3.x client needs a 3.x server; a 2.x client works with every server 2.9 or newer.

    Raises:
        MlflowRefused: the server's answer is not a version.
    """
    client_release, server_release = _release(client), _release(server)
    if client_release[0] >= 3:
        return server_release[0] >= 3
    return server_release >= OLDEST_SERVER


def _release(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    try:
        return int(major), int(rest.split(".", 1)[0])
    except ValueError:
        raise MlflowRefused(
            f"the server at MLFLOW_TRACKING_URI does not answer like MLflow (its version reads {version[:40]!r}):"
            " check that the address is that of MLflow"
        ) from None


def root_reason(error: BaseException) -> str:
    """The cause of a connection error in a few words, without the address."""
    text = str(error).splitlines()[0]
    for words in ("Connection refused", "Name or service not known", "timed out", "Connection reset"):
        if words in text:
            return words.lower()
    return text.rsplit("Caused by", 1)[-1][:200].strip(" ()")
