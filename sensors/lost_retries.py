"""The sensor on retries that got lost: a run whose process died is started over even where Dagster does not do so.

Dagster 1.13 reads a run's failure once. Should it read it a moment before the run's own row says so, or after the
run's backfill has ended, or find the code location away just then, it passes the run over for good.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from nhm_assets.domain.dagster_internals import (
    RUN_FAILURE_REASON_TAG,
    RunFailureReason,
    auto_reexecution_should_retry_run,
    get_current_datetime,
)
from nhm_assets.domain.dagster_names import JOB, LOST_RETRY_SENSOR
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.queries import (
    ASKED_AT_TAG,
    PARENT_TAG,
    PARTITION_TAG,
    RETRY_NUMBER_TAG,
    ROOT_TAG,
    TRIGGER_TAG,
)

if TYPE_CHECKING:
    from dagster import DagsterRun

_KEPT: Final = (TRIGGER_TAG, ASKED_AT_TAG, ACTOR_TAG)
_DAGSTER_S_OWN_CHANCE: Final = timedelta(minutes=2)
"""From when this sensor first sees a run: before that, the daemon may have been away as a whole."""
_LOOK_BACK: Final = timedelta(days=1)


@sensor(
    name=LOST_RETRY_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Starts a retraining over whose process died and that Dagster should have retried but has not in two minutes."
        " That is rare: a run of a backfill that has ended meanwhile, a code location that was away, or a race within"
        " Dagster."
    ),
)
def lost_retry_sensor(context: SensorEvaluationContext) -> SensorResult:
    """Ask once for each such run; its id is the run key. The cursor says since when a run is waiting."""
    now = get_current_datetime()
    since = _seen(context.cursor)
    waiting = {run.run_id: run for run in _unretried(context.instance, now)}
    seen = {run_id: since.get(run_id, now) for run_id in waiting}
    lost = [run for run_id, run in waiting.items() if now - seen[run_id] >= _DAGSTER_S_OWN_CHANCE]
    for run in lost:
        context.log.info("run %s was to be retried and was not: starting it over", run.run_id)
    return SensorResult(
        run_requests=[_retry(run) for run in lost],
        skip_reason=None if lost else SkipReason("no retry got lost"),
        cursor=json.dumps({run_id: moment.isoformat() for run_id, moment in seen.items()}),
    )


def _seen(cursor: str | None) -> Mapping[str, datetime]:
    """What the last tick wrote; a cursor that is lost or foreign only costs two minutes."""
    try:
        return {run_id: datetime.fromisoformat(moment) for run_id, moment in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _unretried(instance: DagsterInstance, now: datetime) -> "Iterator[DagsterRun]":
    failed = RunsFilter(job_name=JOB, statuses=[DagsterRunStatus.FAILURE], updated_after=now - _LOOK_BACK)
    for run in instance.get_runs(failed):
        if PARTITION_TAG in run.tags and _is_due(instance, run) and not _was_retried(instance, run):
            yield run


def _is_due(instance: DagsterInstance, run: "DagsterRun") -> bool:
    """Whether Dagster's rules want a retry, whatever came of its attempt at one.

    It counts attempts by a field of the run that those which a sensor asks for lack: we count their tag, too.
    """
    if int(run.tags.get(RETRY_NUMBER_TAG, 0)) >= instance.run_retries_max_retries:
        return False
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    return auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None)


def _was_retried(instance: DagsterInstance, run: "DagsterRun") -> bool:
    return bool(instance.get_runs(RunsFilter(tags={PARENT_TAG: run.run_id}), limit=1))


def _retry(run: "DagsterRun") -> RunRequest:
    tags = {name: run.tags[name] for name in _KEPT if run.tags.get(name)}
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
