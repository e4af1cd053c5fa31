"""The sensor on lost retries: it starts over what Dagster does not.

A run that broke because a service was down is started over after a while, until the service is back.

Dagster 1.13 reads once how a run failed whose process died. If it reads it a moment before the run's own row says so,
or after the run's backfill has ended, or while the code location is down, it never retries the run.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
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
from nhm_assets.runs.queries import was_retried
from nhm_assets.runs.restarts import RESTARTS_TAG, awaiting_restart, is_partition, restarts_of
from nhm_assets.runs.tags import (
    ASKED_AT_TAG,
    ATTEMPTS_TAG,
    PARENT_TAG,
    PARTITION_TAG,
    RETRY_NUMBER_TAG,
    ROOT_TAG,
    TRIGGER_TAG,
    attempts,
)
from nhm_assets.settings import Settings
from sensors.requests import one_line

if TYPE_CHECKING:
    from dagster import DagsterRun

_KEPT: Final = (TRIGGER_TAG, ASKED_AT_TAG, ACTOR_TAG)
_DAGSTER_RETRIES_WITHIN: Final = timedelta(minutes=2)
"""Counted from when this sensor first sees a run: the whole daemon may have been away before."""
_LOOK_BACK: Final = timedelta(days=1)


@sensor(
    name=LOST_RETRY_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=60,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Starts over a retraining that broke because a service was down: after RESTART_AFTER_MINUTES, for"
        " RESTART_FOR_HOURS. And retries one whose process died if Dagster does not retry it within two minutes. That"
        " is rare: the run's backfill has ended, the code location was down, or two steps inside Dagster overlapped."
    ),
)
def lost_retry_sensor(context: SensorEvaluationContext, settings: ResourceParam[Settings]) -> SensorResult:
    """Request one retry per such run, with the run's id as run key. The cursor records since when each one waits."""
    now = get_current_datetime()
    waiting_for_service = awaiting_restart(context.instance, settings, now)
    since = _seen(context.cursor)
    waiting = {run.run_id: run for run in _unretried(context.instance, settings, now)}
    seen = {run_id: since.get(run_id, now) for run_id in waiting}
    lost = [run for run_id, run in waiting.items() if now - seen[run_id] >= _DAGSTER_RETRIES_WITHIN]
    for run in lost:
        context.log.info("run %s should have been retried but was not: retrying it", run.run_id)
    due = [record.dagster_run for record, at in waiting_for_service if at <= now]
    later = [
        f"run {record.dagster_run.run_id} is started over at {at:%Y-%m-%d %H:%M}" for record, at in waiting_for_service
    ]
    for run in due:
        context.log.info("run %s broke because a service was down: starting it over", run.run_id)
    requests = [_retry(run) for run in lost] + [_restart(run) for run in due]
    return SensorResult(
        run_requests=requests,
        skip_reason=None if requests else one_line("no lost retries", *later),
        cursor=json.dumps({run_id: moment.isoformat() for run_id, moment in seen.items()}),
    )


def _seen(cursor: str | None) -> Mapping[str, datetime]:
    """When earlier ticks first saw each run; a lost or foreign cursor only costs two minutes."""
    try:
        return {run_id: datetime.fromisoformat(moment) for run_id, moment in json.loads(cursor or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _unretried(instance: DagsterInstance, settings: Settings, now: datetime) -> "Iterator[DagsterRun]":
    failed = RunsFilter(job_name=JOB, statuses=[DagsterRunStatus.FAILURE], updated_after=now - _LOOK_BACK)
    for run in instance.get_runs(failed):
        if is_partition(run, settings) and _is_due(instance, run) and not was_retried(instance, run):
            yield run


def _is_due(instance: DagsterInstance, run: "DagsterRun") -> bool:
    """Whether Dagster's rules require a retry.

    Dagster counts retries by a field that runs requested by a sensor lack. Their tag counts here too.
    """
    if int(run.tags.get(RETRY_NUMBER_TAG, 0)) - restarts_of(run) >= instance.run_retries_max_retries:
        return False
    reason = run.tags.get(RUN_FAILURE_REASON_TAG)
    return auto_reexecution_should_retry_run(instance, run, RunFailureReason(reason) if reason else None)


def _restart(run: "DagsterRun") -> RunRequest:
    return _request(run, f"restart:{run.run_id}", restarts_of(run) + 1)


def _retry(run: "DagsterRun") -> RunRequest:
    return _request(run, f"lost-retry:{run.run_id}", restarts_of(run))


def _request(run: "DagsterRun", run_key: str, restarts: int) -> RunRequest:
    """Another attempt of the run: the same partition, selection and trigger."""
    tags = {name: run.tags[name] for name in _KEPT if run.tags.get(name)}
    tags |= {
        PARENT_TAG: run.run_id,
        ROOT_TAG: run.root_run_id or run.tags.get(ROOT_TAG, run.run_id),
        RETRY_NUMBER_TAG: str(int(run.tags.get(RETRY_NUMBER_TAG, 0)) + 1),
        RESTARTS_TAG: str(restarts),
        ATTEMPTS_TAG: ",".join(sorted(attempts(run))),
    }
    return RunRequest(
        run_key=run_key,
        partition_key=run.tags[PARTITION_TAG],
        asset_selection=sorted(run.asset_selection) if run.asset_selection else None,
        asset_check_keys=sorted(run.asset_check_selection) if run.asset_check_selection else None,
        run_config=run.run_config,
        tags=tags,
    )
