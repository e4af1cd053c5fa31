"""MLflow: the client of registry and tracking, and training runs that nothing else logs into."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resources.errors import MlflowRefused
from resources.mlflow_database import artifact_root, database_address, database_file, require_database
from resources.mlflow_errors import root_reason
from resources.mlflow_server import MlflowServer

if TYPE_CHECKING:
    from dagster_mlflow.resources import MlFlow
    from mlflow import MlflowClient

    from resources.mlflow_reader import MlflowReader

_ACTIVE = "active"
_ACTIVATION = threading.Lock()


def limit_http_retries() -> None:
    """Keep MLflow from trying a server that is away for minutes, unless its own variable says otherwise."""
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES

    from resources.mlflow_rest import HTTP_RETRIES

    if not MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
        MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(HTTP_RETRIES)


def _list_no_packages() -> None:
    """Keep MLflow from listing the files of all installed packages, for a second, when it first logs or loads a model.

    The list is to guess requirements, and ours are named; and to find the version of what is installed as no package.
    """
    from mlflow.utils import requirements_utils

    if getattr(requirements_utils, "_MODULES_TO_PACKAGES", {}) is None:
        requirements_utils._MODULES_TO_PACKAGES = {}


class Mlflow:
    """The MLflow that models are logged to and registered in.

    Args:
        uri: address of its server, or of its database; None for SQLite on this machine.
        home: folder of that SQLite file and of its artifacts.
        timeout_s: seconds until a server that does not answer is an error.
        library_is_configured: whether variables of MLflow's own library hold, such as a token or a workspace.
    """

    def __init__(self, *, uri: str | None, home: Path, timeout_s: float, library_is_configured: bool = False) -> None:
        self._embedded = uri is None
        self._home = home
        address = uri or database_address(home)
        self._server = MlflowServer(address, timeout_s=timeout_s)
        self._read_server = MlflowServer(address, timeout_s=timeout_s, by_library=False)
        is_other_database = uri is not None and not self._server.over_http
        self._reads_by_library = library_is_configured or is_other_database
        self.address = f"SQLite under {home}" if uri is None else self._server.masked

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
        with self._server.translated_errors():
            client = self._client
            self._set_library_addresses()
            yield client

    @contextmanager
    def reading(self) -> Iterator["MlflowReader"]:
        """What answers questions about versions and runs, without MLflow's library where that is possible.

        Raises:
            MlflowUnavailable, MlflowRefused, IncompatibleMlflow: as `client` does.
        """
        if self._reads_by_library:
            with self.client() as client:
                yield client
            return
        with self._read_server.translated_errors():
            yield self._reader

    @cached_property
    def _reader(self) -> "MlflowReader":
        self._read_server.require_usable()
        if self._read_server.over_http:
            from resources.mlflow_rest import RestReader

            return RestReader(self._read_server)
        from resources.mlflow_tables import TablesReader

        require_database(self._home)
        return TablesReader(database_file(self._home))

    @cached_property
    def _client(self) -> "MlflowClient":
        self._configure_library()
        self._server.require_usable()
        from mlflow import MlflowClient

        address = self._server.address
        if self._embedded:
            with _quiet():
                require_database(self._home)
                return MlflowClient(address, address)
        try:
            return MlflowClient(address, address)
        except ImportError as error:
            # Its text, and the chain behind it, may quote the address.
            raise MlflowRefused(
                f"MLflow's database {self.address} needs a library that is not installed ({error.name}):"
                " install it, or set MLFLOW_TRACKING_URI to a server"
            ) from None

    def import_library(self) -> None:
        """Import and prepare what training runs and the registry use of MLflow, and contact nobody."""
        self._configure_library()
        _logging_functions()
        if self._embedded:
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    def _configure_library(self) -> None:
        # MLflow reads these from the environment only, the first one while it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import environment_variables as variables

        # Stages are deprecated, but the specialists load by them.
        warnings.filterwarnings("ignore", message=".*is deprecated since 2.9.0", category=FutureWarning)
        variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
        limit_http_retries()
        _list_no_packages()
        if self._server.user is not None:
            variables.MLFLOW_TRACKING_USERNAME.set(self._server.user)
            variables.MLFLOW_TRACKING_PASSWORD.set(self._server.password or "")

    def _set_library_addresses(self) -> None:
        """Set the addresses that MLflow keeps for the whole process: model loading and logging use them."""
        import mlflow
        from mlflow.environment_variables import MLFLOW_TRACKING_URI

        # MLflow also writes the address into the environment, where it would look like a setting of the user.
        user_setting = MLFLOW_TRACKING_URI.get_raw() if MLFLOW_TRACKING_URI.is_set() else None
        mlflow.set_tracking_uri(self._server.address)
        mlflow.set_registry_uri(self._server.address)
        if user_setting is None:
            MLFLOW_TRACKING_URI.unset()
        else:
            MLFLOW_TRACKING_URI.set(user_setting)

    def experiment_id(self, name: str) -> str:
        """Id of the experiment with this name; it is created if it does not exist.

        Raises:
            MlflowRefused: somebody has deleted it in MLflow, which keeps its name.
        """
        from mlflow.exceptions import MlflowException

        with self.client() as client:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                artifacts = f"{artifact_root(self._home)}/{name}" if self._embedded else None
                try:
                    return str(client.create_experiment(name, artifact_location=artifacts))
                except MlflowException:
                    # Another run may have created it meanwhile; any other error shows in this look-up again.
                    experiment = client.get_experiment_by_name(name)
                    if experiment is None:
                        raise
            if experiment.lifecycle_stage != _ACTIVE:
                number = experiment.experiment_id
                raise MlflowRefused(
                    f"the MLflow experiment {name} (id {number}) was deleted, and MLflow accepts no runs in it. Restore"
                    f" it with `mlflow experiments restore --experiment-id {number}`, or remove it for good with"
                    f" `mlflow gc --experiment-ids {number}`, then run this again"
                )
            return str(experiment.experiment_id)

    @contextmanager
    def run(self, *, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator["type[MlFlow]"]:
        """A new MLflow run that is active in this thread, and the functions that log into it.

        When the body ends, the run ends as FINISHED, as FAILED after an error, or as KILLED after an interrupt.
        """
        experiment_id = self.experiment_id(experiment)
        with self.client() as client:
            info = client.create_run(experiment_id, run_name=name, tags=dict(tags)).info
            run_id = info.run_id
            try:
                self._server.require_shared_artifacts(client, run_id, info.artifact_uri, experiment)
                with _quiet():
                    _activate(run_id, experiment_id)
                    yield _logging_functions()
            except Exception:
                self._end(run_id, "FAILED")
                raise
            except BaseException:
                self._end(run_id, "KILLED")
                raise
            self._end(run_id, "FINISHED", must=True)

    def _end(self, run_id: str, status: str, *, must: bool = False) -> None:
        import mlflow
        from mlflow.exceptions import MlflowException

        try:
            if mlflow.active_run() is not None:
                mlflow.end_run(status)
            self._client.set_terminated(run_id, status)
        except (MlflowException, OSError) as error:
            # The error before this one says more. The next run of the partition ends this MLflow run.
            if must:
                raise
            logging.getLogger(__name__).warning(
                "MLflow run %s could not be ended as %s: %s", run_id, status, root_reason(error)
            )


def _activate(run_id: str, experiment_id: str) -> None:
    """Make a run the active run of this thread, in place of a run that was left open."""
    import mlflow
    from mlflow.exceptions import MlflowException

    while mlflow.active_run() is not None:
        # MLflow forgets the run even if ending it fails, because it belongs to another server.
        with suppress(MlflowException):
            mlflow.end_run()
    # MLflow refuses a run outside the active experiment, which all threads of a process share.
    with _ACTIVATION:
        mlflow.set_experiment(experiment_id=experiment_id)
        mlflow.start_run(run_id=run_id)


def _logging_functions() -> "type[MlFlow]":
    """dagster-mlflow's class with all functions of mlflow; its `log_params` logs in batches of 100, MLflow's limit."""
    from dagster import BetaWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        from dagster_mlflow.resources import MlFlow
    return MlFlow


def delete_version_files(client: "MlflowClient", model: str, version: str) -> None:
    """Delete the files of a version from the artifact store; its record stays. Missing files are not an error."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    address = client.get_model_version_download_uri(model, version)
    kind, _, logged = address.partition(":/")
    if kind == "models":
        address = client.get_logged_model(logged.strip("/")).artifact_location
    with suppress(FileNotFoundError):
        get_artifact_repository(address).delete_artifacts()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep notices of MLflow (migrations, 'successfully registered') off the terminal; errors are raised anyway."""
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
