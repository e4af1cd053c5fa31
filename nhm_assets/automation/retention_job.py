"""The daily retention job: deletes the files of old model versions and old Dagster runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import (
    DefaultScheduleStatus,
    OpExecutionContext,
    Out,
    Output,
    ResourceParam,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from nhm_assets.domain.dagster_names import IN_MEMORY, RETENTION_JOB, RETENTION_SCHEDULE
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.registry.audit_log import AUDIT_LOG, who
from nhm_assets.registry.retention import delete_old_files
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.retention import delete_old_runs
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.mlflow import Mlflow
from resources.mongo import Mongo


@op(
    out=Out(io_manager_key=IN_MEMORY),
    description=(
        "Deletes the files of Archived versions and of held candidates beyond the newest KEEP_VERSIONS of each kind and"
        " model, but never of a version with an alias (records stay). Deletes Dagster runs older than KEEP_RUNS_DAYS"
        " days."
    ),
)
@retry_transient_errors
def delete_expired(
    context: OpExecutionContext,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[dict[str, Any]]:
    """Delete runs first, then files, model by model; a model with an error does not stop the others."""
    # The age of a run follows Dagster's clock, not NHM_NOW.
    oldest = datetime.now(UTC) - timedelta(days=settings.keep_runs_days)
    result: dict[str, Any] = {"runs": delete_old_runs(context.instance, before=oldest), "versions": {}}
    errors = []
    with mongo.database() as database, mlflow.client() as client:
        for specialist in all_specialists():
            fields = {"specialist": str(specialist), "dagster_run_id": context.run_id, **who(context.run)}
            try:
                result["versions"][specialist.registered_model] = delete_old_files(
                    client,
                    database[AUDIT_LOG],
                    specialist.registered_model,
                    keep=settings.keep_versions,
                    fields=fields,
                    now=settings.now(),
                    wait_s=settings.promotion_wait_s,
                )
            except RegistryError as error:
                errors.append(str(error))
    if errors:
        raise RegistryError("; ".join(errors))
    return Output(result, metadata=result)


@job(
    name=RETENTION_JOB,
    hooks={tag_broken_run},
    executor_def=in_process_executor,
    tags={"dagster/retry_on_asset_or_op_failure": "false"},
    description="Deletes the files of old versions (KEEP_VERSIONS) and old runs (KEEP_RUNS_DAYS).",
)
def retention() -> None:
    """A job with one op."""
    delete_expired()


retention_schedule = ScheduleDefinition(
    name=RETENTION_SCHEDULE,
    job=retention,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Every day at 04:00 UTC.",
)
