"""The folders on this machine: creates them, and opens the Dagster instance in them."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance, DagsterInvalidConfigError
from filelock import FileLock
from sqlalchemy.exc import OperationalError

from nhm_assets.domain.asset_keys import PROMOTED_VERSION
from nhm_assets.domain.dagster_internals import read_migrations_once
from nhm_assets.domain.dagster_names import CODE_LOCATION
from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings, set_library_environment
from resources.errors import StorageError, StorageUnavailable
from resources.folders import HOME, require_folder

WORKSPACE_FILE = "workspace.yaml"
INSTANCE_FILE = "dagster.yaml"
MLFLOW_LOGS = Path(__file__).parents[1] / "templates" / "mlflow-logs.json"
"""Makes the MLflow server print its lines as JSON."""

_DATABASES = ("history", "schedules")
"""The folders of Dagster's SQLite files: runs and events, and ticks."""
_STORAGES = ("storage", "run_storage", "event_log_storage", "schedule_storage", "local_artifact_storage")
"""Keys of dagster.yaml that may put them elsewhere."""
_DRAFT = ".draft"
_SPECIAL = "%?"
_MAX_CHARACTERS = 200

_WORKSPACE = f"""\
load_from:
  - python_module:
      module_name: nhm_assets.definitions
      location_name: {CODE_LOCATION}
"""


def prepare_home(settings: Settings) -> None:
    """Create missing folders, and set DAGSTER_HOME for Dagster.

    Its two files are written only if they are missing, so an operator can edit them.

    Raises:
        StorageError: they are missing, and the folder cannot be used.
    """
    for name, content in ((INSTANCE_FILE, instance_template()), (WORKSPACE_FILE, _WORKSPACE)):
        if not os.path.exists(settings.dagster_folder / name):  # noqa: PTH110 - Path's raises where one may not look
            _require_own_folder(settings)
            _write_whole(settings.dagster_folder / name, content)
    set_library_environment(settings, dagster_home=_name_for_dagster(settings.dagster_folder))


def _require_own_folder(settings: Settings) -> None:
    require_folder(settings.dagster_folder, "DAGSTER_HOME" if settings.dagster_home else HOME)


def has_own_workspace(settings: Settings) -> bool:
    """Whether the operator has changed the file that names the code locations."""
    return (settings.dagster_folder / WORKSPACE_FILE).read_text() != _WORKSPACE


def write_workspace(path: Path, socket: Path) -> None:
    """Write a file that names the code location by the socket file of its server."""
    server = {"socket": str(socket), "location_name": CODE_LOCATION}
    path.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))


def _write_whole(path: Path, content: str) -> None:
    """Write a file so that a killed process leaves all of it or nothing."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(content)
    draft.replace(path)


def _name_for_dagster(folder: Path) -> Path:
    """The folder, or a link to it if Dagster cannot open a database in a folder of this name.

    Dagster writes the folder into the database's address as it is, where %20 means a blank and ? begins options.
    """
    if not set(str(folder)) & set(_SPECIAL):
        return folder
    link = _folder_of_links() / hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    draft = link.with_name(f"{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder)
    draft.replace(link)
    return link


def _folder_of_links() -> Path:
    """A folder of this user's own, whose name has nothing special in it."""
    for base in (Path.home() / ".cache", Path(tempfile.gettempdir())):
        folder = base / f"nhm-{os.getuid()}"
        with suppress(OSError):
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            if not set(str(folder)) & set(_SPECIAL) and folder.stat().st_uid == os.getuid():
                return folder
    raise UsageError(
        f"NHM_HOME or DAGSTER_HOME has one of the characters {_SPECIAL} in its name, which Dagster cannot open, and no"
        " folder can hold a link to it. Rename the folder, or let this user write to ~/.cache"
    )


def instance_template() -> str:
    """The text of `deploy/local/dagster.yaml`."""
    return (resources.files("nhm_assets") / "templates" / INSTANCE_FILE).read_text()


def dagster_instance(settings: Settings) -> DagsterInstance:
    """The Dagster instance of these settings. Dagster's UI shows the runs that it records.

    Raises:
        StorageUnavailable: its database does not answer, refuses the login, or cannot be opened.
        StorageError: its folder or its dagster.yaml cannot be used.
    """
    prepare_home(settings)
    with _creation_lock(settings), _outages_in_words(settings.dagster_folder):
        _require_databases(settings)
        instance = _configured_instance(settings.dagster_folder / INSTANCE_FILE)
        _open_databases(instance)
    return instance


@contextmanager
def _outages_in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Dagster gives up on PostgreSQL with an error of its own, after the last of several attempts.
        away = next((one for one in (error, error.__cause__) if isinstance(one, OperationalError)), None)
        if away is None:
            raise
        raise StorageUnavailable(
            f"Dagster's database cannot be used ({' '.join(str(away.orig or away).split())[:_MAX_CHARACTERS]}): check"
            f" that it runs, the variables DAGSTER_PG_* and {folder / INSTANCE_FILE}"
        ) from error


def _require_databases(settings: Settings) -> None:
    """Make missing SQLite files beside, then rename their folders.

    Dagster takes a file that a killed process left incomplete for one of an old version, and never completes it.
    """
    folder = settings.dagster_folder
    config, ours = _instance_config(folder / INSTANCE_FILE), yaml.safe_load(instance_template())
    if any(config.get(key) not in (None, ours.get(key)) for key in _STORAGES):
        return
    _require_own_folder(settings)
    missing = [name for name in _DATABASES if not (folder / name).exists()]
    if not missing:
        return
    draft = _name_for_dagster(folder) / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    # Without this file, Dagster warns that it found no configuration.
    (draft / INSTANCE_FILE).touch()
    read_migrations_once()
    with DagsterInstance.local_temp(str(draft), overrides={"telemetry": {"enabled": False}}) as instance:
        _open_databases(instance)
    for name in missing:
        (draft / name).rename(folder / name)
    shutil.rmtree(draft)


def _instance_config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text()) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unusable(path, error) from error
    if not isinstance(config, dict):
        raise _unusable(path, "it is no map")
    return config


def _configured_instance(path: Path) -> DagsterInstance:
    try:
        return DagsterInstance.get()
    except DagsterInvalidConfigError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, why: object) -> StorageError:
    reason = " ".join(str(why).split())[:_MAX_CHARACTERS]
    return StorageError(f"{path} cannot be used ({reason}). Correct it; deploy/local/dagster.yaml is an example")


def _open_databases(instance: DagsterInstance) -> None:
    """Make Dagster open, and where needed create, all its files."""
    instance.get_runs(limit=1)
    instance.all_instigator_state()
    instance.get_latest_materialization_event(PROMOTED_VERSION)


def _creation_lock(settings: Settings) -> AbstractContextManager[object]:
    """A lock for the first access: if two processes create the tables of a new SQLite file at once, one fails.

    On Kubernetes the folder is read-only and the instance is in PostgreSQL, so no lock is needed.
    """
    if not os.access(settings.dagster_folder, os.W_OK):
        return nullcontext()
    return FileLock(settings.dagster_folder / "creation.lock")
