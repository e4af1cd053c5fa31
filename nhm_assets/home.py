"""The folders that are kept on this machine, made ready for Dagster and for the command line."""

from dagster import AssetKey, DagsterInstance
from filelock import FileLock

from nhm_assets.names import CODE_LOCATION
from nhm_assets.settings import Settings, set_library_environment

WORKSPACE_FILE = "workspace.yaml"

_INSTANCE_SETTINGS = """\
# Dagster's instance on this machine, in SQLite. Written once; change it as you like.
telemetry:
  enabled: false
nux:
  enabled: false
python_logs:
  python_log_level: INFO

# A failed check or asset is final until a person or new feedback changes something; a process that died
# is not. The job says the same by its tag.
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
"""

_WORKSPACE = f"""\
load_from:
  - python_module:
      module_name: nhm_assets.definitions
      location_name: {CODE_LOCATION}
"""


def prepare_home(settings: Settings) -> None:
    """Create the folders that are missing and point Dagster at its own."""
    settings.nhm_home.mkdir(parents=True, exist_ok=True)
    settings.dagster_folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("dagster.yaml", _INSTANCE_SETTINGS), (WORKSPACE_FILE, _WORKSPACE)):
        if not (settings.dagster_folder / name).exists():
            (settings.dagster_folder / name).write_text(content)
    set_library_environment(settings)


def dagster_instance(settings: Settings) -> DagsterInstance:
    """The Dagster instance of these settings; runs recorded there show in its UI."""
    prepare_home(settings)
    # Two processes that open fresh SQLite files at once would both create their tables, and one would die.
    with FileLock(settings.dagster_folder / "creation.lock"):
        instance = DagsterInstance.get()
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.get_latest_materialization_event(AssetKey("promoted_version"))
    return instance
