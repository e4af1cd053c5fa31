"""The sensor on retries that got lost: a run whose process died is started over even where Dagster forgot to.

Dagster 1.13 reads a run's failure once. Should it read it a moment before the run's own row says so, or after the
run's backfill has ended, it passes the run over for good, though it has marked it for a retry.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from dagster._time import get_current_datetime

from nhm_assets.audit import ACTOR_TAG
from nhm_assets.names import JOB, LOST_RETRY_SENSOR
from nhm_assets.runs import (
    ASKED_AT_TAG,
    PARENT_TAG,
    PARTITION_TAG,
    RETRY_NUMBER_TAG,
    ROOT_TAG,
    TRIGGER_TAG,
    WILL_RETRY_TAG,
)

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

_KEPT: Final = (TRIGGER_TAG, ASKED_AT_TAG, ACTOR_TAG)
_DAGSTER_S_OWN_CHANCE: Final = timedelta(minutes=2)
_LOOK_BACK: Final = timedelta(days=1)


@sensor(
    name=LOST_RETRY_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Starts a retraining over whose process died and that Dagster has marked for a retry but not retried in two"
        " minutes. That is rare: a run of a backfill that has ended meanwhile, or a race within Dagster."
    ),
)
def lost_retry_sensor(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    """Ask once for each such run; its id is the run key."""
    lost = list(_lost(context.instance, get_current_datetime()))
    for run in lost:
        context.log.info("run %s was to be retried and was not: starting it over", run.run_id)
        yield _retry(run)
    if not lost:
        yield SkipReason("no retry got lost")


def _lost(instance: DagsterInstance, now: datetime) -> "Iterator[DagsterRun]":
    marked = RunsFilter(
        job_name=JOB,
        statuses=[DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "true"},
        updated_after=now - _LOOK_BACK,
    )
    for record in instance.get_run_records(marked):
        run = record.dagster_run
        had_its_chance = now - _ended(record) > _DAGSTER_S_OWN_CHANCE
        if had_its_chance and PARTITION_TAG in run.tags and not _was_retried(instance, run):
            yield run


def _ended(record: "RunRecord") -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _was_retried(instance: DagsterInstance, run: "DagsterRun") -> bool:
    return bool(instance.get_runs(RunsFilter(tags={PARENT_TAG: run.run_id}), limit=1))


def _retry(run: "DagsterRun") -> RunRequest:
    tags = {name: run.tags[name] for name in _KEPT if name in run.tags}
    tags |= {
        PARENT_TAG: run.run_id,
        ROOT_TAG: run.root_run_id or run.tags.get(ROOT_TAG, run.run_id),
        RETRY_NUMBER_TAG: str(int(run.tags.get(RETRY_NUMBER_TAG, 0)) + 1),
    }
    return RunRequest(
        run_key=f"lost-retry:{run.run_id}",
        partition_key=run.tags[PARTITION_TAG],
        asset_selection=sorted(run.asset_selection) if run.asset_selection else None,
        run_config=run.run_config,
        tags=tags,
    )
