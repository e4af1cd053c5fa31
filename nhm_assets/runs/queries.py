"""What Dagster's records say about runs: which partition, which attempt, which outcome."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET, PROMOTED_VERSION, SERVED_QUALITY, TRAINED_MODEL
from nhm_assets.domain.dagster_names import JOB, SERVED_QUALITY_JOB
from nhm_assets.domain.outcomes import HELD_AS_TAG, OUTCOME_TAG, ROLLED_BACK, UNDECIDED, HeldAs, Outcome
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.tags import PARENT_TAG, PARTITION_TAG, RUN_KEY_TAG, SPECIALIST_TAG, WEEK_TAG

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

ASSET_JOB: Final = "__ASSET_JOB"
"""Name that Dagster gives the job of a run that somebody starts from an asset's page or from the global graph."""

IN_PROGRESS: Final = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]

ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_DECIDED: Final = frozenset(Outcome) - UNDECIDED
_HELD_AS: Final = frozenset(HeldAs)
_NEWEST: Final = 10


def dimension_tags(partition: Partition) -> dict[str, str]:
    """Dagster's tags for the two dimensions of a partition."""
    return {SPECIALIST_TAG: str(partition.specialist), WEEK_TAG: partition.week}


def outcome_of(run: "DagsterRun") -> Outcome | None:
    """The outcome of a run for its partition; None if it is in progress, or succeeded without deciding about one.

    The tag alone does not say it: a retry inherits the tags of the run before it, and a rollback has one, too.
    """
    tag = run.tags.get(OUTCOME_TAG)
    if run.status is DagsterRunStatus.FAILURE and tag == Outcome.REFUSED:
        return Outcome.REFUSED
    if run.status in (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
        return Outcome.BROKEN
    decided = run.status is DagsterRunStatus.SUCCESS and tag in _DECIDED
    return Outcome(tag) if tag and decided else None


def ended_as(run: "DagsterRun") -> str:
    """One word for how a run ended: its outcome, `rolled_back`, or else Dagster's status."""
    rolled_back = run.status is DagsterRunStatus.SUCCESS and run.tags.get(OUTCOME_TAG) == ROLLED_BACK
    return str(outcome_of(run) or (ROLLED_BACK if rolled_back else run.status.value.lower()))


def is_unexplained(run: "DagsterRun") -> bool:
    """Whether the run broke and its tags do not say why: if it is ended from outside, they say what it did before."""
    return outcome_of(run) is Outcome.BROKEN and run.tags.get(OUTCOME_TAG) not in UNDECIDED


def held_as(run: "DagsterRun") -> HeldAs | None:
    """What the rows say of the candidate that the run held; None if it held none. A retry inherits the tag."""
    tag = run.tags.get(HELD_AS_TAG)
    return HeldAs(tag) if tag in _HELD_AS and outcome_of(run) in (Outcome.HELD, Outcome.UNCHANGED) else None


def only_measures(run: "DagsterRun") -> bool:
    """Whether the run retrains nothing, whatever becomes of it: it measures what is served, or asks checks alone."""
    if not run.asset_selection and run.asset_check_selection:
        return True
    return run.job_name == SERVED_QUALITY_JOB or run.asset_selection == {SERVED_QUALITY}


def is_whole(run: "DagsterRun") -> bool:
    """Whether the run goes all the way from the feedback to a decision; others can settle no week."""
    if only_measures(run):
        return False
    return not run.asset_selection or {FEEDBACK_DATASET, PROMOTED_VERSION} <= run.asset_selection


def is_increment(run: "DagsterRun") -> bool:
    """Whether the run was asked for an increment instead of a full training, by the sensor or in the launchpad."""
    here: Any = run.run_config
    for name in ("ops", str(TRAINED_MODEL.path[-1]), "config", "increment"):
        here = here.get(name) if isinstance(here, Mapping) else None
    return here is True


def was_retried(instance: DagsterInstance, run: "DagsterRun") -> bool:
    """Whether another run was started from this one."""
    return bool(instance.get_runs(RunsFilter(tags={PARENT_TAG: run.run_id}), limit=1))


def end_of(record: "RunRecord") -> datetime:
    """When the run ended."""
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def run_in_progress(instance: DagsterInstance, specialist: Specialist) -> "DagsterRun | None":
    """A run of this specialist, for any week, that is queued or in progress."""
    runs = instance.get_runs(RunsFilter(tags={SPECIALIST_TAG: str(specialist)}, statuses=IN_PROGRESS), limit=1)
    return runs[0] if runs else None


def last_ended_runs(instance: DagsterInstance, specialists: Sequence[Specialist]) -> "dict[str, RunRecord]":
    """Specialist -> its newest retraining that decided something or broke, if one of the newest did.

    The newest retrainings of all are read together, since those of one week follow each other. Specialists whose last
    one is older are asked for one by one.
    """
    names = set(map(str, specialists))
    found: dict[str, RunRecord] = {}
    for record in _newest_ended(instance, 2 * len(names) + _NEWEST):
        name = record.dagster_run.tags.get(SPECIALIST_TAG)
        if name in names and name not in found and _settles(record):
            found[name] = record
    for name in names - found.keys():
        settling = next(filter(_settles, _newest_ended(instance, _NEWEST, {SPECIALIST_TAG: name})), None)
        if settling is not None:
            found[name] = settling
    return found


def _newest_ended(
    instance: DagsterInstance, count: int, tags: Mapping[str, str | Sequence[str]] | None = None
) -> "list[RunRecord]":
    """The newest runs that have ended, newest first, without those that measure what is served every day."""
    records = [
        record
        for job in (JOB, ASSET_JOB)
        for record in instance.get_run_records(RunsFilter(job_name=job, tags=tags, statuses=ENDED), limit=count)
    ]
    return sorted(records, key=lambda record: record.storage_id, reverse=True)[:count]


def _settles(record: "RunRecord") -> bool:
    """Whether the run is a retraining that decided something or broke."""
    run = record.dagster_run
    return PARTITION_TAG in run.tags and not only_measures(run) and outcome_of(run) not in (None, Outcome.REFUSED)


def runs_in_progress(instance: DagsterInstance) -> "dict[str, DagsterRun]":
    """Specialist -> one of its runs, for any week, that is queued or in progress; in one query for all."""
    runs = instance.get_runs(RunsFilter(statuses=IN_PROGRESS))
    return {run.tags[SPECIALIST_TAG]: run for run in reversed(runs) if SPECIALIST_TAG in run.tags}


def record_with_key(instance: DagsterInstance, run_key: str) -> "RunRecord | None":
    """The first run that was created for a run key, with its times."""
    records = instance.get_run_records(RunsFilter(tags={RUN_KEY_TAG: run_key}))
    return records[-1] if records else None


def submitted(run: "DagsterRun") -> bool:
    """Whether Dagster has queued or launched a run that the schedule or a sensor requested.

    If the daemon dies between creating a run and submitting it, the run never starts, unless the same run key is
    requested again: then Dagster submits that very run.
    """
    return run.status is not DagsterRunStatus.NOT_STARTED or RUN_KEY_TAG not in run.tags
