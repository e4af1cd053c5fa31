"""PostgreSQL, MongoDB, an instance of `deploy/postgres` and simulated pods, for `benchmarks.simulated_weeks`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.measuring import PROJECT, clean_environment

if TYPE_CHECKING:
    from tests.support.daemon import DaemonPlatform

CONCURRENT = 24
"""MAX_CONCURRENT_RUNS."""
_FIRST = """from nhm_assets.domain import first_week

first_week.EARLIEST = {earliest!r}
"""
"""Runs at the start of each process: all weeks of the simulation must have closed by now."""
_MORE_WEEKS = 8
_SOCKET = "code"


@contextmanager
def empty_platform(
    folder: Path, specialists: int, sundays: Sequence[datetime], earlier: int
) -> "Iterator[DaemonPlatform]":
    """Everything but the daemon. Its environment is that of this process, too.

    Args:
        folder: an empty one.
        specialists: number of them.
        sundays: when the weekly schedule is due, by the real clock.
        earlier: number of weeks before the first one.
    """
    from dagster import DagsterInstance
    from pymongo import MongoClient

    from tests.support.daemon import DaemonPlatform

    with ExitStack() as stack:
        variables = _write_files(folder, specialists, sundays, earlier) | stack.enter_context(_servers(folder))
        os.environ.update(variables)
        from nhm_assets.settings import Settings

        instance = stack.enter_context(DagsterInstance.from_config(str(folder / "dagster")))
        # These calls create the tables.
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        settings = Settings.load()
        client = stack.enter_context(MongoClient[dict[str, Any]](variables["MONGODB_URI"], tz_aware=True))
        database = client[settings.mongodb_database]
        platform = DaemonPlatform(folder, settings, clean_environment() | variables, instance, database)
        stack.callback(lambda: platform.kill(*platform.processes))
        yield platform


def _write_files(folder: Path, specialists: int, sundays: Sequence[datetime], earlier: int) -> dict[str, str]:
    """Write what the processes read. Returns their environment variables."""
    from nhm_assets.domain.dagster_names import CODE_LOCATION

    for name in ("nhm", "dagster", "start"):
        (folder / name).mkdir()
    (folder / "specialists.yaml").write_text("".join(f"- name: unit-{number:03d}\n" for number in range(specialists)))
    now = datetime.now(UTC)
    weeks = earlier + len(sundays) + _MORE_WEEKS
    earliest = now - timedelta(weeks=weeks, days=now.isoweekday() % 7)
    (folder / "start" / "sitecustomize.py").write_text(_FIRST.format(earliest=f"{earliest:%Y-%m-%d}"))
    location = {"grpc_server": {"socket": str(folder / _SOCKET), "location_name": CODE_LOCATION}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    instance = yaml.safe_load((PROJECT / "deploy" / "postgres" / "dagster.yaml").read_text())
    instance["run_launcher"] = {"module": "benchmarks.simulated_pods", "class": "SimulatedPodLauncher"}
    # As in pods.
    instance["compute_logs"] = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    (folder / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(instance))
    return {
        "NHM_HOME": str(folder / "nhm"),
        "DAGSTER_HOME": str(folder / "dagster"),
        "SPECIALISTS_FILE": str(folder / "specialists.yaml"),
        "MAX_CONCURRENT_RUNS": str(CONCURRENT),
        "SIMULATION": str(folder),
        "SIMULATED_SUNDAYS": json.dumps([f"{one:%M %H %d %m} *" for one in sundays]),
        "PYTHONPATH": f"{folder / 'start'}:{PROJECT}",
    }


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    from resources.embedded_mongo import embedded_mongod
    from tests.support.postgres import postgres_server

    with embedded_mongod(folder / "mongodb") as uri, postgres_server() as postgres:
        yield {"MONGODB_URI": uri, **postgres.new_database("dagster")}


def postgres_address() -> dict[str, str]:
    """Where Dagster's database is, as its driver wants it."""
    names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USERNAME"}
    return {name: os.environ[f"DAGSTER_PG_{ours}"] for name, ours in names.items()}


def start_code_server(platform: "DaemonPlatform") -> "subprocess.Popen[bytes]":
    """Start the process that evaluates schedules and sensors for all daemons, as one pod does, and wait for it."""
    from nhm_assets.domain.dagster_names import CODE_LOCATION

    socket = platform.folder / _SOCKET
    socket.unlink(missing_ok=True)
    names = ("--module-name", "benchmarks.simulated_location", "--location-name", CODE_LOCATION)
    with (platform.folder / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(socket), *names],
            env=platform.variables,
            cwd=PROJECT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    platform.processes.append(process)
    while not socket.exists():
        assert process.poll() is None, platform.log
        time.sleep(0.2)
    return process


@contextmanager
def simulated_pods(platform: "DaemonPlatform") -> Iterator[None]:
    """The processes that stand in for a cluster."""
    log = platform.folder / "pods.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.simulated_pods"],
            env=platform.variables,
            cwd=PROJECT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while not (platform.folder / "pods").exists():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
