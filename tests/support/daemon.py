"""A platform that nobody tends: the real daemon and web server, each a process, on an instance of its own."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from dagster import DagsterEventType, DagsterInstance, DagsterRun, RunsFilter
from dagster._core.scheduler.instigation import InstigatorTick
from dagster._daemon.controller import all_daemons_live
from pymongo import MongoClient
from pymongo.database import Database

from nhm_assets.domain.dagster_names import CODE_LOCATION, JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import all_versions, version_in_production, window_end
from nhm_assets.resource_factories import mlflow_of
from nhm_assets.runs.liveness import process_of
from nhm_assets.runs.queries import PARTITION_TAG, RETRY_NUMBER_TAG, SPECIALIST_TAG, WILL_RETRY_TAG
from nhm_assets.settings import Settings
from resources.mlflow import Mlflow
from tests.support.documents import put, reviewed_opinions
from tests.support.nhm import environment
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.servers import SCRIPTS

_SELECTOR = {"repositoryLocationName": CODE_LOCATION, "repositoryName": "__repository__"}
_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
_BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""


def comes_true(condition: Callable[[], object], *, within_s: float, every_s: float = 0.5) -> bool:
    """Whether the condition comes true in that time; asked seldom, as the processes watched need the machine."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


@dataclass
class Unattended:
    """What a test looks at, and the processes that it starts and ends."""

    folder: Path
    settings: Settings
    variables: dict[str, str]
    instance: DagsterInstance
    database: Database[dict[str, Any]]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def mlflow(self) -> Mlflow:
        return mlflow_of(self.settings)

    @property
    def log(self) -> str:
        """How all runs stand, and the end of what the processes said."""
        told = ("nhm/outcome", "nhm/reason", WILL_RETRY_TAG, RETRY_NUMBER_TAG)
        runs = "\n".join(
            f"{run.run_id} {run.tags[PARTITION_TAG]} {run.status.value} "
            + " ".join(f"{name}={run.tags[name]}" for name in told if name in run.tags)
            for run in self.runs()
        )
        return f"{runs}\n{(self.folder / 'log').read_text()[-6000:]}"

    def add_feedback(self, specialist: Specialist, count: int, **how: Any) -> None:
        """Opinions and what people thought of them, as `reviewed_opinions` makes them up."""
        opinions, reviews = reviewed_opinions(count, specialist=str(specialist), **how)
        put(self.database, opinions=opinions, feedback=reviews)

    def start_daemon(self) -> subprocess.Popen[bytes]:
        """A `dagster-daemon run` that is at work."""
        began = time.time()
        process = self._start("dagster-daemon", "run")

        def at_work() -> bool:
            assert process.poll() is None, self.log
            beats = self.instance.get_daemon_heartbeats().values()
            return all_daemons_live(self.instance) and all(one.timestamp >= began for one in beats)

        assert comes_true(at_work, within_s=120), self.log
        return process

    def start_web(self) -> "Web":
        """A `dagster-webserver` that answers."""
        web = Web(free_port())
        process = self._start("dagster-webserver", "-h", "127.0.0.1", "-p", str(web.port))

        def answers() -> bool:
            assert process.poll() is None, self.log
            return web.knows_the_job()

        assert comes_true(answers, within_s=120), self.log
        return web

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        # Modules of tests are found from here.
        command = [sys.executable, SCRIPTS / program, *options, "-w", self.folder / "workspace.yaml"]
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                command, env=self.variables, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def kill(self, *daemons: subprocess.Popen[bytes]) -> None:
        """SIGKILL for daemons, their code servers and the runs' processes, all at once."""
        doomed = [psutil.Process(one.pid) for one in daemons if psutil.pid_exists(one.pid)]
        family = [member for one in doomed for member in (one, *one.children(recursive=True))]
        for member in family:
            # No child outlives its parent for long enough to notice.
            _send(member.pid, signal.SIGSTOP)
        for member in family:
            _send(member.pid, signal.SIGKILL)
        psutil.wait_procs(family, timeout=30)
        for one in daemons:
            one.wait()

    def runs(self, *specialists: str) -> list[DagsterRun]:
        """Runs of the job, oldest first; of these specialists, or of all."""
        found = reversed(self.instance.get_runs(RunsFilter(job_name=JOB)))
        return [run for run in found if not specialists or run.tags[SPECIALIST_TAG] in specialists]

    def ended(self, count: int) -> bool:
        """Whether there are so many runs, and all have ended."""
        runs = self.runs()
        return len(runs) >= count and all(run.is_finished for run in runs)

    def ticks(self, name: str, since: float = 0) -> list[InstigatorTick]:
        """The ended ticks of a schedule or sensor that began after that time."""
        states = [one for one in self.instance.all_instigator_state() if one.instigator_name == name]
        found = [tick for one in states for tick in self.instance.get_ticks(one.instigator_origin_id, one.selector_id)]
        return [tick for tick in found if tick.timestamp > since and tick.is_completed]

    def has_started(self, run_id: str, step: str) -> bool:
        """Whether a step of the run has begun."""
        begun = self.instance.all_logs(run_id, of_type=DagsterEventType.STEP_START)
        return any(entry.dagster_event and entry.dagster_event.step_key == step for entry in begun)

    def registry(self, specialist: Specialist) -> tuple[list[str], list[str]]:
        """Stages of a specialist's versions, and what contradicts the one in Production."""
        model = specialist.registered_model
        with self.mlflow.client() as client:
            champion = version_in_production(client, model)
            assert champion
            stages = [one.current_stage for one in all_versions(client, model)]
            return stages, registry_faults(client, model, str(champion.version))

    def production_window(self, specialist: Specialist) -> datetime:
        """End of the window that the version in Production learned from."""
        with self.mlflow.client() as client:
            champion = version_in_production(client, specialist.registered_model)
            assert champion
            end = window_end(champion)
            assert end
            return end

    def process_of(self, run_id: str) -> int | None:
        """Id of the process that a run was given."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return process_of(self.instance, run)


@dataclass(frozen=True)
class Web:
    """Dagster's web server, asked as its pages ask it."""

    port: int

    def launch(self, partition: Partition, **tags: str) -> str:
        """Id of a run that the launchpad starts."""
        # The page asks for a partition's tags and sends them all along.
        of_partition = {
            PARTITION_TAG: str(partition.key),
            **{f"{PARTITION_TAG}/{name}": key for name, key in partition.key.keys_by_dimension.items()},
        }
        given = [{"key": name, "value": value} for name, value in (of_partition | tags).items()]
        params = {"selector": {**_SELECTOR, "jobName": JOB}, "executionMetadata": {"tags": given}}
        return str(self._ask(_LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"])

    def backfill(self, partitions: list[Partition]) -> str:
        """Id of a backfill of the job."""
        selector = {
            "partitionSetName": f"{JOB}_partition_set",
            "repositorySelector": _SELECTOR,
        }
        params = {"selector": selector, "partitionNames": [str(one.key) for one in partitions]}
        return str(self._ask(_BACKFILL, params=params)["launchPartitionBackfill"]["backfillId"])

    def knows_the_job(self) -> bool:
        """Whether the code location is loaded."""
        query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { pipelines { name } } } } }"
        try:
            nodes = self._ask(query)["repositoriesOrError"].get("nodes", [])
        except requests.RequestException:
            return False
        return any(job["name"] == JOB for node in nodes for job in node["pipelines"])

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = requests.post(
            f"http://127.0.0.1:{self.port}/graphql", json={"query": query, "variables": variables}, timeout=300
        ).json()
        assert "errors" not in answer, answer["errors"]
        return dict(answer["data"])


@contextmanager
def unattended(
    folder: Path,
    mongod_uri: str,
    instance_file: Path,
    variables: dict[str, str],
    *,
    module: str,
    start_timeout_s: int,
    **changes: Any,
) -> Iterator[Unattended]:
    """An empty platform with the instance of that file; its processes are gone at the end.

    Args:
        folder: of everything that is kept.
        mongod_uri: a server; the database is the platform's own.
        instance_file: a `dagster.yaml`.
        variables: what that file reads from the environment, beside settings.
        module: the code location.
        start_timeout_s: of run monitoring, for a run's process to begin its work.
        changes: of settings.
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
    (folder / "dagster" / "dagster.yaml").write_text(_impatient(instance_file.read_text(), start_timeout_s))
    location = {"python_module": {"module_name": module, "location_name": CODE_LOCATION}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    process_variables = {**environment(**settings), **variables, "PYTHONUNBUFFERED": "1"}
    with ExitStack() as opened:
        patch = opened.enter_context(pytest.MonkeyPatch.context())
        for name, value in {"MAX_CONCURRENT_RUNS": str(settings["max_concurrent_runs"]), **variables}.items():
            patch.setenv(name, value)
        client = opened.enter_context(MongoClient(mongod_uri, tz_aware=True))
        opened.callback(client.drop_database, settings["mongodb_database"])
        instance = opened.enter_context(DagsterInstance.from_config(str(folder / "dagster")))
        # The tables are made here, not by two processes at once.
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        database = client[settings["mongodb_database"]]
        platform = Unattended(folder, Settings(**settings), process_variables, instance, database)
        opened.callback(lambda: platform.kill(*platform.processes))
        yield platform


def _impatient(instance_file: str, start_timeout_s: int) -> str:
    """The instance file as it is deployed, looking at its runs more often."""
    content = yaml.safe_load(instance_file)
    content["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
    content["run_monitoring"] |= {"poll_interval_seconds": 3, "start_timeout_seconds": start_timeout_s}
    return str(yaml.safe_dump(content))


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
