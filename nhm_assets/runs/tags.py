"""The tags of runs, Dagster's and ours, for modules that read them without Dagster."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dagster import DagsterRun

PARTITION_TAG: Final = "dagster/partition"
SPECIALIST_TAG: Final = "dagster/partition/specialist"
"""The queue allows one run per value of this tag; see `SpecialistRunCoordinator`."""
WEEK_TAG: Final = "dagster/partition/week"
RUN_KEY_TAG: Final = "dagster/run_key"
RETRY_NUMBER_TAG: Final = "dagster/retry_number"
"""Dagster sets it when it retries a run whose process died; a person's re-execution has none."""
PARENT_TAG: Final = "dagster/parent_run_id"
ROOT_TAG: Final = "dagster/root_run_id"
WILL_RETRY_TAG: Final = "dagster/will_retry"
REPORTED_TAG: Final = ".dagster/nhm_reported"
"""The id of the run whose outcome is recorded and sent. A retry inherits the tag, with the other run's id."""
ASKED_AT_TAG: Final = ".dagster/nhm_asked_at"
"""When the schedule or a sensor requested the run, by the platform's clock."""
TRIGGER_TAG: Final = "nhm/trigger"
"""`_id` of the run's document in `retraining_triggers`."""
ATTEMPTS_TAG: Final = ".dagster/nhm_attempts"
"""Ids of all runs before a run that was started over, separated by commas."""

PROCESS_TAG: Final = ".dagster/nhm_process"
"""host:pid, on runs that a command executes itself."""

POD_TAG: Final = ".dagster/nhm_pod"
"""namespace/name, on such runs whose process is in a pod."""

LAUNCHED_ON_TAG: Final = ".dagster/nhm_launched_on"
"""Host of the daemon that launched the run's process."""


def attempts(run: "DagsterRun") -> frozenset[str]:
    """Ids of this run and of the interrupted runs that it retries, as far as its tags name them."""
    retries = int(run.tags.get(RETRY_NUMBER_TAG, 0))
    parent = run.parent_run_id or run.tags.get(PARENT_TAG)
    root = run.root_run_id or run.tags.get(ROOT_TAG)
    earlier = run.tags.get(ATTEMPTS_TAG, "").split(",") if retries else []
    ids = [run.run_id, parent if retries else None, root if retries > 1 else None, *earlier]
    return frozenset(filter(None, ids))
