"""What all our run launchers do, and the launcher that runs each run in a process and notices when it dies.

Dagster's run monitoring asks the launcher whether the process of a run is alive. The default launcher cannot tell. If
the process and its code server died together, the run would count as started for MAX_RUN_SECONDS.
"""

import socket
from typing import TYPE_CHECKING

from nhm_assets.domain.dagster_internals import (
    MAX_RETRIES_TAG,
    CheckRunHealthResult,
    DefaultRunLauncher,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from nhm_assets.instance.claims import claim_launch, release_launch
from nhm_assets.runs.liveness import is_alive, process_of
from nhm_assets.runs.tags import LAUNCHED_ON_TAG

if TYPE_CHECKING:
    from dagster import DagsterRun


class GuardedRunLauncher(RunLauncher):
    """Launches every run once only, and prevents retries of a run that was terminated on purpose."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch the run, unless another daemon has launched it."""
        run = context.dagster_run
        if not claim_launch(self._instance, run.run_id):
            self._instance.report_engine_event("Not launched here, because another daemon launches this run.", run)
            return
        # The id of a process means nothing on another host.
        self._instance.add_run_tags(run.run_id, {LAUNCHED_ON_TAG: socket.gethostname()})
        try:
            # The method of the launcher that this class is mixed into.
            super().launch_run(context)  # type: ignore[safe-super]
        except Exception:
            release_launch(self._instance, run.run_id)
            raise

    def terminate(self, run_id: str) -> bool:
        """Terminate a run on purpose: a person asked for it, or the run took longer than MAX_RUN_SECONDS.

        Without the tag, Dagster would retry it: it treats a run that took too long like one whose process died.
        """
        self._instance.add_run_tags(run_id, {MAX_RETRIES_TAG: "0"})
        return bool(super().terminate(run_id))  # type: ignore[safe-super]


class WatchedRunLauncher(GuardedRunLauncher, DefaultRunLauncher):
    """Launches one process per run, on the host of the code location, and can tell whether it is alive."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether `check_run_worker_health` works."""
        return True

    def check_run_worker_health(self, run: "DagsterRun") -> CheckRunHealthResult:
        """Whether the run's process is alive. On another host it counts as alive until the run's time limit."""
        record = self._instance.get_run_record_by_id(run.run_id)
        pid = process_of(self._instance, run)
        if record is None or pid is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process cannot be checked from here")
        started = record.start_time or record.create_timestamp.timestamp()
        if is_alive(pid, since=started):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"process {pid} is gone: it was killed, or the machine restarted"
        )
