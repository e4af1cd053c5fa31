"""The folders that are kept on this machine, made ready for Dagster and for the command line."""

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
    """Create the folders that are missing and point Dagster at its own.

    Its two files are written where they are missing, and are the operator's from then on.
    """
    settings.nhm_home.mkdir(parents=True, exist_ok=True)
    settings.dagster_folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((INSTANCE_FILE, instance_template()), (WORKSPACE_FILE, _WORKSPACE)):
        if not (settings.dagster_folder / name).exists():
            (settings.dagster_folder / name).write_text(content)
    set_library_environment(settings)


def instance_template() -> str:
    """The file `deploy/local/dagster.yaml`."""
    return (resources.files("nhm_assets") / "templates" / INSTANCE_FILE).read_text()


def dagster_instance(settings: Settings) -> DagsterInstance:
    """The Dagster instance of these settings; runs recorded there show in its UI."""
    prepare_home(settings)
    with _creation_lock(settings):
        instance = DagsterInstance.get()
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.get_latest_materialization_event(PROMOTED_VERSION)
    return instance


def _creation_lock(settings: Settings) -> AbstractContextManager[object]:
    """Two processes that open fresh SQLite files at once would both create their tables, and one would die.

    A folder that cannot be written to holds none: it is a cluster's, whose instance is in PostgreSQL.
    """
    if not os.access(settings.dagster_folder, os.W_OK):
        return nullcontext()
    return FileLock(settings.dagster_folder / "creation.lock")
