"""What Dagster's runs say of themselves: whose partition, which attempt, and what they came to."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from dagster import AssetRecordsFilter, DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.dagster_names import FEEDBACK_DATASET, PROMOTED_VERSION
from nhm_assets.domain.outcomes import OUTCOME_TAG, Outcome
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

PARTITION_TAG: Final = "dagster/partition"
SPECIALIST_TAG: Final = "dagster/partition/specialist"
"""What the queue's limit of one run a specialist is set on; see `SpecialistRunCoordinator`."""
WEEK_TAG: Final = "dagster/partition/week"
RUN_KEY_TAG: Final = "dagster/run_key"
RETRY_NUMBER_TAG: Final = "dagster/retry_number"
"""Set where Dagster itself starts a run over because its process died; a person's re-execution has none."""
PARENT_TAG: Final = "dagster/parent_run_id"
ROOT_TAG: Final = "dagster/root_run_id"
WILL_RETRY_TAG: Final = "dagster/will_retry"
REPORTED_TAG: Final = "nhm/reported"
"""On a run whose outcome is written down and told: its own id, since one that is started over inherits tags."""
ASKED_AT_TAG: Final = "nhm/asked_at"
"""When schedule or sensor asked for the run, by the platform's clock."""
TRIGGER_TAG: Final = "nhm/trigger"
"""`_id` of the run's document in `retraining_triggers`."""

UNDER_WAY: Final = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def attempts(run: "DagsterRun") -> frozenset[str]:
    """Ids of this run and of the interrupted ones that Dagster started it over for, as far as it names them."""
    retries = int(run.tags.get(RETRY_NUMBER_TAG, 0))
    parent = run.parent_run_id or run.tags.get(PARENT_TAG)
    root = run.root_run_id or run.tags.get(ROOT_TAG)
    named = [run.run_id, parent if retries else None, root if retries > 1 else None]
    return frozenset(filter(None, named))


def dimension_tags(partition: Partition) -> dict[str, str]:
    """The tags by which Dagster names the dimensions of a partition."""
    return {SPECIALIST_TAG: str(partition.specialist), WEEK_TAG: partition.week}


def outcome_of(run: "DagsterRun") -> Outcome | None:
    """What a run came to; None for one that goes on, or that ended well without deciding anything.

    Dagster gives a run that is started over the tags of the one before, its outcome among them.
    """
    if run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        return Outcome.BROKEN
    tag = run.tags.get(OUTCOME_TAG)
    decided = run.status is DagsterRunStatus.SUCCESS and tag not in (None, Outcome.BROKEN)
    return Outcome(tag) if tag and decided else None


def run_under_way(instance: DagsterInstance, specialist: Specialist) -> "DagsterRun | None":
    """A run of this specialist, of whatever week, that waits or works."""
    found = instance.get_runs(RunsFilter(tags={SPECIALIST_TAG: str(specialist)}, statuses=UNDER_WAY), limit=1)
    return found[0] if found else None


def run_with_key(instance: DagsterInstance, run_key: str) -> "DagsterRun | None":
    """The first run that was launched for a run key."""
    found = instance.get_runs(RunsFilter(tags={RUN_KEY_TAG: run_key}))
    return found[-1] if found else None


def run_for_closed_week(instance: DagsterInstance, partition: Partition) -> "DagsterRun | None":
    """A run that retrains, or has retrained, the partition with its whole week; None where one is due.

    A run that was asked for while the week was still going on saw a part of its feedback alone.
    """
    for record in instance.get_run_records(RunsFilter(tags={PARTITION_TAG: str(partition.key)})):
        if _settles(record.dagster_run) and _asked_at(record) >= partition.week_end:
            return record.dagster_run
    return None


def submitted(run: "DagsterRun") -> bool:
    """Whether a run that schedule or sensor asked for is on its way.

    A daemon that dies between making a run and handing it over leaves it unstarted for good, unless the same
    run key is asked for again: then Dagster hands over that very run.
    """
    return run.status is not DagsterRunStatus.NOT_STARTED or RUN_KEY_TAG not in run.tags


def _settles(run: "DagsterRun") -> bool:
    """Whether the run has come to an outcome, or may still do so. What materializes a part alone has none."""
    if outcome_of(run) not in (None, Outcome.BROKEN):
        return True
    if not submitted(run):
        return False
    whole = not run.asset_selection or PROMOTED_VERSION in run.asset_selection
    return whole and run.status is not DagsterRunStatus.SUCCESS


def _asked_at(record: "RunRecord") -> datetime:
    asked = record.dagster_run.tags.get(ASKED_AT_TAG)
    return datetime.fromisoformat(asked) if asked else record.create_timestamp


def last_window_end(instance: DagsterInstance, specialist: Specialist) -> datetime | None:
    """End of the newest window that a dataset of this specialist was materialized for; None where none was."""
    keys = instance.get_materialized_partitions(FEEDBACK_DATASET)
    partitions = [one for one in map(Partition.from_key, keys) if one.specialist == specialist]
    for partition in sorted(partitions, key=lambda one: one.week, reverse=True):
        where = AssetRecordsFilter(asset_key=FEEDBACK_DATASET, asset_partitions=[str(partition.key)])
        for record in instance.fetch_materializations(where, limit=1).records:
            window = record.asset_materialization and record.asset_materialization.metadata.get("window")
            if window and isinstance(window.value, list):
                return datetime.fromisoformat(str(window.value[1]))
    return None
