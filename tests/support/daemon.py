"""A platform that works by itself: the real daemon and webserver as processes, and what a test reads from them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from dagster import DagsterEventType, DagsterInstance, DagsterRun, RunsFilter
from pymongo.database import Database

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import all_versions, version_in_production, window_end
from nhm_assets.resource_factories import mlflow_of
from nhm_assets.runs.liveness import process_of
from nhm_assets.runs.tags import PARTITION_TAG, RETRY_NUMBER_TAG, SPECIALIST_TAG, WILL_RETRY_TAG
from nhm_assets.settings import Settings
from resources.mlflow import Mlflow
from tests.support.dagster_internals import InstigatorTick, all_daemons_live
from tests.support.documents import put, reviewed_opinions
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.progress import announce
from tests.support.servers import SCRIPTS
from tests.support.webserver import Webserver

_TAGS_IN_LOG = ("nhm/outcome", "nhm/reason", WILL_RETRY_TAG, RETRY_NUMBER_TAG)


def becomes_true(condition: Callable[[], object], *, timeout_s: float = 600, every_s: float = 0.5) -> bool:
    """Whether the condition becomes true in time, which is long: machines are busy.

    It is checked seldom: the processes under test need the CPU.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


@dataclass
class DaemonPlatform:
    """What a test looks at, and the processes that it starts and kills."""

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
        """What became of every run, and the end of what the processes printed."""
        runs = "\n".join(
            f"{run.run_id} {run.tags[PARTITION_TAG]} {run.status.value} "
            + " ".join(f"{name}={run.tags[name]}" for name in _TAGS_IN_LOG if name in run.tags)
            + self._why_it_failed(run.run_id)
            for run in self.runs()
        )
        return f"{runs}\n{(self.folder / 'log').read_text()[-6000:]}"

    def _why_it_failed(self, run_id: str) -> str:
        failures = self.instance.all_logs(run_id, of_type=DagsterEventType.RUN_FAILURE)
        return "".join(f" ({entry.dagster_event.message})" for entry in failures if entry.dagster_event)

    def add_feedback(self, specialist: Specialist, count: int, **options: Any) -> None:
        """Insert opinions and feedback on them; the options are those of `reviewed_opinions`."""
        opinions, reviews = reviewed_opinions(count, specialist=str(specialist), **options)
        put(self.database, opinions=opinions, feedback=reviews)

    def start_daemon(self) -> subprocess.Popen[bytes]:
        """Start `dagster-daemon run` and wait until it works."""
        announce("Dagster's daemon")
        started_at = time.time()
        process = self._start("dagster-daemon", "run")

        def is_working() -> bool:
            assert process.poll() is None, self.log
            heartbeats = self.instance.get_daemon_heartbeats().values()
            return all_daemons_live(self.instance) and all(beat.timestamp >= started_at for beat in heartbeats)

        assert becomes_true(is_working), self.log
        return process

    def start_webserver(self) -> Webserver:
        """Start `dagster-webserver` and wait until it answers."""
        announce("Dagster's webserver")
        webserver = Webserver(free_port())
        process = self._start("dagster-webserver", "-h", "127.0.0.1", "-p", str(webserver.port))

        def is_ready() -> bool:
            assert process.poll() is None, self.log
            return webserver.is_ready()

        assert becomes_true(is_ready), self.log
        return webserver

    def _start(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, SCRIPTS / program, *options, "-w", self.folder / "workspace.yaml"]
        with (self.folder / "log").open("a") as log:
            # In the project's folder, the process can import modules of the tests.
            process = subprocess.Popen(
                command, env=self.variables, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def kill(self, *daemons: subprocess.Popen[bytes]) -> None:
        """SIGKILL daemons, their code servers and the processes of their runs, all at once."""
        parents = [psutil.Process(daemon.pid) for daemon in daemons if psutil.pid_exists(daemon.pid)]
        family = [member for parent in parents for member in (parent, *parent.children(recursive=True))]
        for member in family:
            # Stop them all first, so that no child notices that its parent is gone.
            _send(member.pid, signal.SIGSTOP)
        for member in family:
            _send(member.pid, signal.SIGKILL)
        psutil.wait_procs(family, timeout=30)
        for daemon in daemons:
            daemon.wait()

    def runs(self, *specialists: str) -> list[DagsterRun]:
        """Runs of the job, oldest first: of these specialists, or of all."""
        runs = reversed(self.instance.get_runs(RunsFilter(job_name=JOB)))
        return [run for run in runs if not specialists or run.tags[SPECIALIST_TAG] in specialists]

    def has_finished(self, count: int) -> bool:
        """Whether there are at least this many runs, and all of them have finished."""
        runs = self.runs()
        return len(runs) >= count and all(run.is_finished for run in runs)

    def ticks(self, name: str, since: float = 0) -> list[InstigatorTick]:
        """The completed ticks of a schedule or sensor that began after that time."""
        states = [state for state in self.instance.all_instigator_state() if state.instigator_name == name]
        ticks = [
            tick for state in states for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]
        return [tick for tick in ticks if tick.timestamp > since and tick.is_completed]

    def has_started(self, run_id: str, step: str) -> bool:
        """Whether a step of the run has begun."""
        entries = self.instance.all_logs(run_id, of_type=DagsterEventType.STEP_START)
        return any(entry.dagster_event and entry.dagster_event.step_key == step for entry in entries)

    def registry(self, specialist: Specialist) -> tuple[list[str], list[str]]:
        """The stages of a specialist's versions, and the faults of the one in Production."""
        model = specialist.registered_model
        with self.mlflow.client() as client:
            champion = version_in_production(client, model)
            assert champion
            stages = [version.current_stage for version in all_versions(client, model)]
            return stages, registry_faults(client, model, str(champion.version))

    def production_window(self, specialist: Specialist) -> datetime:
        """The end of the window that the version in Production learned from."""
        with self.mlflow.client() as client:
            champion = version_in_production(client, specialist.registered_model)
            assert champion
            end = window_end(champion)
            assert end
            return end

    def process_of(self, run_id: str) -> int | None:
        """The id of the process that executes a run."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return process_of(self.instance, run)


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
