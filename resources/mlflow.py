"""MLflow: the registry client, and training runs that nothing else can log into.

Runs are logged through dagster-mlflow, which works on MLflow's process-wide active run. So every run is
created here first, its id is handed over, and the run is ended by its outcome whatever happens.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from resources.addresses import masked, split_credentials
from resources.errors import IncompatibleMlflow, MlflowRefused, MlflowUnavailable

if TYPE_CHECKING:
    from dagster import DagsterLogManager, DagsterRun
    from dagster_mlflow.resources import MlFlow
    from mlflow import MlflowClient

OLDEST_SERVER = (2, 9)
_HTTP_RETRIES = 2
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_REFUSED = re.compile(r"failed with error code (401|403)\b")
_BUSY = (429, 500, 502, 503, 504)
_CONNECTION_ERRORS = ("failed with exception", "failed with timeout exception")


class Mlflow:
    """The MLflow that models are logged to and registered in.

    Args:
        uri: address of its server, or of its database; None for SQLite on this machine.
        home: folder of that SQLite file and of the artifacts beside it.
        timeout_s: seconds until an unreachable server is an error.
    """

    def __init__(self, *, uri: str | None, home: Path, timeout_s: float) -> None:
        self._embedded = uri is None
        self._home = home
        self._timeout_s = timeout_s
        self.address = masked(uri) if uri else f"SQLite under {home}"
        address = uri or f"sqlite:///{home / 'mlflow.db'}"
        self._over_http = address.lower().startswith(("http://", "https://"))
        if self._over_http:
            address, self._user, self._password = split_credentials(address)
        else:
            self._user = self._password = None
        self._address = address

    def __repr__(self) -> str:
        return f"Mlflow({self.address})"

    @contextmanager
    def client(self) -> Iterator["MlflowClient"]:
        """The registry and tracking client of a server that answers and fits.

        Raises:
            MlflowUnavailable: the server cannot be reached, on entering or in the body.
            MlflowRefused: it refuses us, or the address cannot be used.
            IncompatibleMlflow: client and server cannot work together.
        """
        from mlflow.exceptions import MlflowException
        from requests.exceptions import ConnectionError as RequestsConnectionError
        from requests.exceptions import Timeout

        try:
            client = self._client
            self._point_library_here()
            yield client
        except MlflowException as error:
            if refused := _REFUSED.search(str(error)):
                raise self._refused(int(refused[1])) from None
            if not any(words in str(error) for words in _CONNECTION_ERRORS):
                raise
            raise self._unavailable(_root_reason(error)) from None
        except (RequestsConnectionError, Timeout) as error:
            raise self._unavailable(_root_reason(error)) from None

    @cached_property
    def _client(self) -> "MlflowClient":
        self._configure_library()
        if not self._over_http and re.split(r"\+|://", self._address)[0] not in _DATABASES:
            raise self._unusable()
        if self._over_http:
            self._require_fitting_server()
        elif self._embedded:
            self._home.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        # Two processes that open a fresh SQLite file at once would both migrate it, and one would die.
        if self._embedded:
            with FileLock(self._home / "migration.lock"), _quiet():
                client = MlflowClient(self._address, self._address)
                client.search_registered_models(max_results=1)
                return client
        try:
            return MlflowClient(self._address, self._address)
        except ImportError as error:
            # Its own words, and the chain behind it, may quote the address.
            raise MlflowRefused(
                f"MLflow's database {self.address} needs a library that is not installed ({error.name}):"
                " install it, or set MLFLOW_TRACKING_URI to a server"
            ) from None

    def _configure_library(self) -> None:
        # MLflow takes these from the environment alone, the first one while it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import environment_variables as variables

        # Stages are deprecated and stay what the specialists load by.
        warnings.filterwarnings("ignore", message=".*is deprecated since 2.9.0", category=FutureWarning)
        variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
        if not variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
            variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(_HTTP_RETRIES)
        if self._user is not None:
            variables.MLFLOW_TRACKING_USERNAME.set(self._user)
            variables.MLFLOW_TRACKING_PASSWORD.set(self._password or "")

    def _point_library_here(self) -> None:
        """Model loading and dagster-mlflow use MLflow's process-wide addresses."""
        import mlflow
        from mlflow.environment_variables import MLFLOW_TRACKING_URI

        # MLflow also writes the address into the environment, where it would be taken for a user's setting.
        given = MLFLOW_TRACKING_URI.get_raw() if MLFLOW_TRACKING_URI.is_set() else None
        mlflow.set_tracking_uri(self._address)
        mlflow.set_registry_uri(self._address)
        if given is None:
            MLFLOW_TRACKING_URI.unset()
        else:
            MLFLOW_TRACKING_URI.set(given)

    def _require_fitting_server(self) -> None:
        import mlflow
        import requests

        client_version = mlflow.__version__
        server_version = self._get("/version").text.strip()
        if not fits(client_version, server_version):
            raise IncompatibleMlflow(
                f"the MLflow client {client_version} cannot work with the MLflow server {server_version} at"
                f" {self.address}: use a client 3.x with a server 3.x, or a client 2.22 with a server from 2.9 on"
            )
        # /version answers whoever asks; the registry may still refuse the name we call the server by.
        answer = self._get("/api/2.0/mlflow/registered-models/search?max_results=1")
        if answer.status_code == requests.codes.ok:
            return
        raise self._refused(answer.status_code)

    def _refused(self, status: int) -> MlflowUnavailable | MlflowRefused:
        hints = {
            401: "check user and password in MLFLOW_TRACKING_URI",
            403: "check the user's rights, and that MLFLOW_SERVER_ALLOWED_HOSTS of the server names this host,"
            " with and without port",
        }
        hint = hints.get(status, "look into the server's log")
        error = MlflowUnavailable if status in _BUSY else MlflowRefused
        return error(f"MLflow at {self.address} answers {status}: {hint}")

    def _get(self, path: str) -> Any:
        import requests

        login = (self._user, self._password or "") if self._user is not None else None
        try:
            return requests.get(f"{self._address.rstrip('/')}{path}", auth=login, timeout=self._timeout_s)
        except ValueError:
            # Not an address at all; the library's words quote it.
            raise self._unusable() from None
        except requests.RequestException as error:
            raise self._unavailable(_root_reason(error)) from None

    def _unusable(self) -> MlflowRefused:
        return MlflowRefused(
            f"MLFLOW_TRACKING_URI is not a usable address ({self.address}): it should look like"
            " https://user:password@host:5000, special characters percent-encoded"
        )

    def _unavailable(self, reason: str) -> MlflowUnavailable:
        return MlflowUnavailable(
            f"MLflow at {self.address} cannot be reached ({reason}): check MLFLOW_TRACKING_URI, the network"
            " and whether the server runs, then run this again"
        )

    def experiment_id(self, name: str) -> str:
        """Id of the experiment of that name, created where there is none yet."""
        from mlflow.exceptions import MlflowException

        with self.client() as client:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                artifacts = str(self._home / "artifacts" / name) if self._embedded else None
                try:
                    return str(client.create_experiment(name, artifact_location=artifacts))
                except MlflowException:
                    # Another run may have been faster; anything else shows again in this look-up.
                    experiment = client.get_experiment_by_name(name)
                    if experiment is None:
                        raise
            return str(experiment.experiment_id)

    @contextmanager
    def run(
        self,
        *,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
        dagster_run: "DagsterRun",
        log: "DagsterLogManager",
    ) -> Iterator["MlFlow"]:
        """A new MLflow run, as dagster-mlflow's resource bound to exactly that run.

        On leaving, the run ends as FINISHED, as FAILED after an error, or as KILLED after an interrupt.
        """
        experiment_id = self.experiment_id(experiment)
        with self.client() as client:
            run_id = client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id
            try:
                with _quiet():
                    yield self._bound_resource(experiment, name, run_id, dagster_run, log)
            except Exception:
                self._end(run_id, "FAILED")
                raise
            except BaseException:
                self._end(run_id, "KILLED")
                raise
            self._end(run_id, "FINISHED", must=True)

    def _bound_resource(
        self, experiment: str, name: str, run_id: str, dagster_run: "DagsterRun", log: "DagsterLogManager"
    ) -> "MlFlow":
        import mlflow
        from dagster_mlflow.resources import MlFlow
        from mlflow.exceptions import MlflowException

        # Were another run active, dagster-mlflow would go on in that one without a word.
        while mlflow.active_run() is not None:
            # It may be known to another MLflow than ours; it is active no more all the same.
            with suppress(MlflowException):
                mlflow.end_run()
        config: dict[str, Any] = {
            "experiment_name": experiment,
            # The address is set already; see _point_library_here.
            "mlflow_tracking_uri": None,
            "mlflow_run_id": run_id,
            "env": {},
            "extra_tags": {},
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            resource = MlFlow(_HandOver(config, dagster_run, log))
        # dagster-mlflow calls every run by the job's name.
        self._client.update_run(run_id, name=name)
        active = mlflow.active_run()
        if active is None or active.info.run_id != run_id:
            raise MlflowUnavailable(f"MLflow did not open run {run_id}; nothing was logged")
        return resource

    def _end(self, run_id: str, status: str, *, must: bool = False) -> None:
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            if mlflow.active_run() is not None:
                mlflow.end_run(status)
            self._client.set_terminated(run_id, status)
        except (MlflowException, OSError) as error:
            # The error that brought us here says more; the next run of the partition ends this one.
            if must:
                raise
            logging.getLogger(__name__).warning(
                "MLflow run %s could not be ended as %s: %s", run_id, status, _root_reason(error)
            )


@dataclass(frozen=True)
class _HandOver:
    """What dagster-mlflow's resource reads of the context it is initialized with."""

    resource_config: dict[str, Any]
    dagster_run: "DagsterRun"
    log: "DagsterLogManager"

    @property
    def run_id(self) -> str:
        return self.dagster_run.run_id


def delete_version_files(client: "MlflowClient", model: str, version: str) -> None:
    """Delete the files of a version where they are kept; its record stays. Files that are gone are no error."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    address = client.get_model_version_download_uri(model, version)
    kind, _, logged = address.partition(":/")
    if kind == "models":
        address = client.get_logged_model(logged.strip("/")).artifact_location
    with suppress(FileNotFoundError):
        get_artifact_repository(address).delete_artifacts()


def fits(client: str, server: str) -> bool:
    """Whether an MLflow client can log models to a server; versions as they call themselves.

    A 3.x client needs a 3.x server, and a 2.x client any server from 2.9 on.
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
            f"the server at MLFLOW_TRACKING_URI does not answer like MLflow (its version reads {version[:40]!r})"
        ) from None


def _root_reason(error: BaseException) -> str:
    text = str(error).splitlines()[0]
    for words in ("Connection refused", "Name or service not known", "timed out", "Connection reset"):
        if words in text:
            return words.lower()
    return text.rsplit("Caused by", 1)[-1][:200].strip(" ()")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's notices (migrations, 'successfully registered') off the terminal; errors are raised."""
    from mlflow.utils import logging_utils

    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
    logging_utils.disable_logging()
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging_utils.enable_logging()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
