"""The job that measures what is served, without retraining, and its daily schedule."""

from collections.abc import Iterator
from datetime import datetime

from dagster import (
    AssetRecordsFilter,
    AssetSelection,
    DagsterInstance,
    DefaultScheduleStatus,
    ExecutorDefinition,
    ResourceParam,
    RunRequest,
    ScheduleEvaluationContext,
    define_asset_job,
    schedule,
)

from nhm_assets.domain.asset_keys import SERVED_QUALITY
from nhm_assets.domain.dagster_internals import UnresolvedAssetJobDefinition
from nhm_assets.domain.dagster_names import SERVED_QUALITY_JOB, SERVED_QUALITY_SCHEDULE
from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.closed_week import closed_week
from nhm_assets.settings import Settings


def served_quality_job(executor: ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    """The job `served_quality_job`."""
    return define_asset_job(
        SERVED_QUALITY_JOB,
        selection=AssetSelection.assets(SERVED_QUALITY),
        executor_def=executor,
        tags={"dagster/retry_on_asset_or_op_failure": "false"},
        description=(
            "Measures what the version in Production of one specialist did in one week. It retrains and moves nothing."
        ),
    )


@schedule(
    name=SERVED_QUALITY_SCHEDULE,
    job_name=SERVED_QUALITY_JOB,
    cron_schedule="0 5 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description=(
        "Every day at 05:00 UTC: measures the running week of every specialist. The closed week is measured by its"
        " retraining; if there was no rollout, because the candidate was held, it is measured here."
    ),
)
def served_quality_schedule(
    context: ScheduleEvaluationContext, settings: ResourceParam[Settings]
) -> Iterator[RunRequest]:
    """One run per specialist, and one more where the closed week is not measured yet."""
    now = settings.nhm_now or max(settings.now(), context.scheduled_execution_time)
    closed = closed_week(settings, now)
    for specialist in all_specialists():
        if closed and not _is_measured(context.instance, Partition(closed, specialist)):
            yield _request(Partition(closed, specialist), now)
        yield _request(Partition(running_week(now), specialist), now)


def _is_measured(instance: DagsterInstance, partition: Partition) -> bool:
    """Whether the whole of a closed week was measured."""
    where = AssetRecordsFilter(asset_key=SERVED_QUALITY, asset_partitions=[str(partition.key)])
    found = instance.fetch_materializations(where, limit=1).records
    made = found[0].asset_materialization if found else None
    until = made.metadata.get("measured_until") if made else None
    return until is not None and datetime.fromisoformat(str(until.value)) >= partition.week_end


def _request(partition: Partition, now: datetime) -> RunRequest:
    return RunRequest(
        run_key=f"served:{partition.key}:{now:%Y-%m-%d}",
        partition_key=partition.key,
        tags={ACTOR_TAG: SERVED_QUALITY_SCHEDULE},
    )
