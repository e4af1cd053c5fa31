"""Sets up a platform for the real daemon: a database, an instance from a deployed `dagster.yaml`, and a workspace."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance
from pymongo import MongoClient

from nhm_assets.domain.dagster_names import CODE_LOCATION
from nhm_assets.settings import Settings
from tests.support.daemon import DaemonPlatform
from tests.support.nhm import environment


@contextmanager
def daemon_platform(
    folder: Path,
    mongod_uri: str,
    instance_file: Path,
    variables: dict[str, str],
    *,
    module: str,
    start_timeout_s: int,
    **changes: Any,
) -> Iterator[DaemonPlatform]:
    """An empty platform. Its processes are killed at the end.

    Args:
        folder: where everything is kept.
        mongod_uri: the server; the platform gets a database of its own there.
        instance_file: the `dagster.yaml` of the instance.
        variables: the environment variables that `instance_file` reads, besides those of settings.
        module: the code location.
        start_timeout_s: how long run monitoring lets a run's process take to begin its work.
        changes: settings that differ from the default.
    """
    settings = {
        "nhm_home": folder / "nhm",
        "dagster_home": folder / "dagster",
        "mongodb_uri": mongod_uri,
        "mongodb_database": f"test_{uuid.uuid4().hex[:12]}",
        "allow_synthetic_fallback": "false",
        "max_concurrent_runs": 2,
        **changes,
    }
    (folder / "dagster").mkdir(parents=True)
    (folder / "dagster" / "dagster.yaml").write_text(_with_short_intervals(instance_file.read_text(), start_timeout_s))
    location = {"python_module": {"module_name": module, "location_name": CODE_LOCATION}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    process_variables = {**environment(**settings), **variables, "PYTHONUNBUFFERED": "1"}
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("MAX_CONCURRENT_RUNS", "DAGSTER_HOME"):
            patch.setenv(name, str(settings[name.lower()]))
        for name, value in variables.items():
            patch.setenv(name, value)
        client = stack.enter_context(MongoClient(mongod_uri, tz_aware=True))
        stack.callback(client.drop_database, settings["mongodb_database"])
        instance = stack.enter_context(DagsterInstance.from_config(str(folder / "dagster")))
        # These calls create the tables, so that two processes do not try to at once.
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        database = client[settings["mongodb_database"]]
        platform = DaemonPlatform(folder, Settings(**settings), process_variables, instance, database)
        stack.callback(lambda: platform.kill(*platform.processes))
        yield platform


def _with_short_intervals(instance_file: str, start_timeout_s: int) -> str:
    """The deployed instance file, except that the daemon looks at the queue and at its runs more often."""
    content = yaml.safe_load(instance_file)
    content["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
    content["run_monitoring"] |= {"poll_interval_seconds": 3, "start_timeout_seconds": start_timeout_s}
    return str(yaml.safe_dump(content))
