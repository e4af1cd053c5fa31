"""The folders on this machine: creates them, and opens the Dagster instance in them."""

import os
from contextlib import AbstractContextManager, nullcontext
from importlib import resources

from dagster import DagsterInstance
from filelock import FileLock

from nhm_assets.domain.dagster_names import CODE_LOCATION, PROMOTED_VERSION
from nhm_assets.settings import Settings, set_library_environment

WORKSPACE_FILE = "workspace.yaml"
INSTANCE_FILE = "dagster.yaml"

_WORKSPACE = f"""\
load_from:
  - python_module:
      module_name: nhm_assets.definitions
      location_name: {CODE_LOCATION}
"""


def prepare_home(settings: Settings) -> None:
    """Create missing folders, and set DAGSTER_HOME for Dagster.

    Its two files are written only if they are missing, so an operator can edit them.
    """
    settings.nhm_home.mkdir(parents=True, exist_ok=True)
    settings.dagster_folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((INSTANCE_FILE, instance_template()), (WORKSPACE_FILE, _WORKSPACE)):
        if not (settings.dagster_folder / name).exists():
            (settings.dagster_folder / name).write_text(content)
    set_library_environment(settings)


def instance_template() -> str:
    """The text of `deploy/local/dagster.yaml`."""
    return (resources.files("nhm_assets") / "templates" / INSTANCE_FILE).read_text()


def dagster_instance(settings: Settings) -> DagsterInstance:
    """The Dagster instance of these settings. Dagster's UI shows the runs that it records."""
    prepare_home(settings)
    with _creation_lock(settings):
        instance = DagsterInstance.get()
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.get_latest_materialization_event(PROMOTED_VERSION)
    return instance


def _creation_lock(settings: Settings) -> AbstractContextManager[object]:
    """A lock for the first access: if two processes create the tables of a new SQLite file at once, one fails.

    On Kubernetes the folder is read-only and the instance is in PostgreSQL, so no lock is needed.
    """
    if not os.access(settings.dagster_folder, os.W_OK):
        return nullcontext()
    return FileLock(settings.dagster_folder / "creation.lock")
