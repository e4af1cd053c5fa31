"""A cluster for the simulation: each run is a process that is forked from one that has loaded the code location.

`python -m benchmarks.simulated_pods` serves the launcher of this module, which the simulation's `dagster.yaml` names.
Like pods, the processes outlive the daemon.
"""

import gc
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from nhm_assets.domain.dagster_internals import (
    CheckRunHealthResult,
    ConfigurableClassData,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from nhm_assets.instance.launcher import GuardedRunLauncher

if TYPE_CHECKING:
    from dagster import DagsterRun

_LARGEST = 10_000
LAUNCHED = "launched"
"""File with the id of each run for which a process was forked, in that order."""


def _folder() -> Path:
    return Path(os.environ["SIMULATION"])


def ask(word: str, argument: str = "") -> str:
    """Send a request to the cluster: `launch` or `health` and a run, or `kill` and a number."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(_folder() / "pods"))
        connection.sendall(f"{word} {argument}".encode())
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(_LARGEST).decode()


class _Pods(RunLauncher):
    """Launches a run as a process of the cluster."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: dict[str, Any]) -> Self:
        return cls(inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        # As many events as the launcher for Kubernetes records.
        self._instance.report_engine_event("Creating a process of the simulated cluster", run)
        assert ask("launch", run.run_id) == "ok"
        self._instance.report_engine_event("Process of the simulated cluster created", run)

    def terminate(self, run_id: str) -> bool:
        raise NotImplementedError(run_id)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: "DagsterRun") -> CheckRunHealthResult:
        alive = ask("health", run.run_id) == "alive"
        return CheckRunHealthResult(WorkerStatus.RUNNING if alive else WorkerStatus.FAILED)


class SimulatedPodLauncher(GuardedRunLauncher, _Pods):
    """The same, with what all launchers of the platform do."""


def serve() -> None:
    """Fork a process for each run, until this process is killed."""
    from benchmarks.simulated_location import defs
    from nhm_assets.domain.dagster_names import JOB

    job = defs.resolve_job_def(JOB)
    gc.collect()
    gc.freeze()
    # Nobody waits for the processes, so the kernel forgets them when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pods: dict[str, psutil.Process] = {}
    with socket.socket(socket.AF_UNIX) as listener, (_folder() / LAUNCHED).open("a") as launched:
        listener.bind(str(_folder() / "pods"))
        listener.listen(100)
        while True:
            connection, _ = listener.accept()
            with connection:
                word, _, argument = connection.recv(_LARGEST).decode().partition(" ")
                if word == "launch":
                    if (pid := os.fork()) == 0:
                        connection.close()
                        listener.close()
                        _work(job, argument)
                    pods[argument] = psutil.Process(pid)
                    print(argument, file=launched, flush=True)
                    answer = "ok"
                elif word == "health":
                    answer = "alive" if _is_alive(pods.get(argument)) else "gone"
                else:
                    answer = _killed(pods, int(argument))
                connection.sendall(answer.encode())


def _work(job: Any, run_id: str) -> None:
    """Body of the process of a run, which does not return."""
    from dagster import DagsterInstance

    from benchmarks.dagster_internals import InMemoryJob, execute_run_iterator

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        with DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
            assert run
            instance.report_engine_event("Started process for run", run)
            for _ in execute_run_iterator(InMemoryJob(job), run, instance):
                """The events are in the instance."""
        code = 0
    finally:
        os._exit(code)


def _is_alive(process: psutil.Process | None) -> bool:
    """Whether the process has not ended. A later one with the same id is another one."""
    return process is not None and process.is_running()


def _killed(pods: dict[str, psutil.Process], count: int) -> str:
    """Kill this many processes, and return their runs."""
    alive = [run_id for run_id, process in pods.items() if _is_alive(process)][:count]
    for run_id in alive:
        with suppress(psutil.NoSuchProcess):
            pods[run_id].kill()
    return " ".join(alive)


if __name__ == "__main__":
    serve()
