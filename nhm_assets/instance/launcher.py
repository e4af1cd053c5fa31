"""What every launcher of ours sees to, and the one for processes, which sees that one has died without a word.

Dagster's run monitoring asks the launcher whether a run's process is healthy. The default launcher cannot say,
so a run whose process and code server died together would count as started until MAX_RUN_SECONDS are over.
"""

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.dagster_internals import (
    MAX_RETRIES_TAG,
    CheckRunHealthResult,
    ConfigurableClassData,
    DefaultRunLauncher,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from nhm_assets.instance.claims import claim_launch, release_launch
from nhm_assets.runs.liveness import LAUNCHED_ON_TAG, is_alive, process_of

if TYPE_CHECKING:
    from dagster import DagsterRun


class GuardedRunLauncher(RunLauncher):
    """A launcher that gives a run one process, and sees that none is started over which was ended on purpose."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch the run, unless another daemon does."""
        run = context.dagster_run
        if not claim_launch(self._instance, run.run_id):
            self._instance.report_engine_event("Another daemon launches this run: one only must run.", run)
            return
        # A process's id means nothing on another host.
        self._instance.add_run_tags(run.run_id, {LAUNCHED_ON_TAG: socket.gethostname()})
        try:
            # That of the launcher which this is mixed into.
            super().launch_run(context)  # type: ignore[safe-super]
        except Exception:
            release_launch(self._instance, run.run_id)
            raise

    def terminate(self, run_id: str) -> bool:
        """End a run on purpose: by a person, or since MAX_RUN_SECONDS are over.

        Dagster would start it over, since it counts a run that took too long among those whose process died.
        """
        self._instance.add_run_tags(run_id, {MAX_RETRIES_TAG: "0"})
        return bool(super().terminate(run_id))  # type: ignore[safe-super]


class WatchedRunLauncher(GuardedRunLauncher, DefaultRunLauncher):
    """Launches a process a run, on the host of the code location, and tells whether it is alive."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "WatchedRunLauncher":
        """Called by Dagster with the configuration in dagster.yaml; there is none to give."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """It can tell."""
        return True

    def check_run_worker_health(self, run: "DagsterRun") -> CheckRunHealthResult:
        """Whether the run's process lives; where it is out of sight, run monitoring's time limit has to do."""
        record = self._instance.get_run_record_by_id(run.run_id)
        pid = process_of(self._instance, run)
        if record is None or pid is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its process cannot be seen from here")
        started = record.start_time or record.create_timestamp.timestamp()
        if is_alive(pid, since=started):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {pid} is gone: it was killed, or the machine was")
