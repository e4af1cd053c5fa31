"""What is thrown away: files of old model versions, and Dagster's old runs. Records of versions are kept for ever."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    AssetKey,
    AssetRecordsFilter,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    OpExecutionContext,
    Out,
    Output,
    ResourceParam,
    RunsFilter,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from nhm_assets.audit import COLLECTION, actor
from nhm_assets.names import HOUSEKEEPING_JOB, HOUSEKEEPING_SCHEDULE, IN_MEMORY
from nhm_assets.partitions import Partition
from nhm_assets.registry import ARCHIVED, FILES_DELETED_TAG, all_versions
from nhm_assets.registry.intent import Intent, hold_intent
from nhm_assets.registry.repair import finish_or_undo
from nhm_assets.settings import Settings
from nhm_assets.specialists import Specialist
from nhm_assets.trying_again import tries_again
from resources.mlflow import Mlflow, delete_version_files
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

FILES_DELETED: Final = "files_deleted"
"""Kind of the audit log's entry."""
_BEGUN: Final = "begun"
_COPY: Final = re.compile(r"models:/[^/]+/")
"""Where the files of a version that was copied from another one are said to lie."""
_RUNS_A_DAY: Final = 500
_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_DATASET: Final = AssetKey("feedback_dataset")


def expendable(versions: "Sequence[ModelVersion]", aliases: Mapping[str, Any], keep: int) -> "list[ModelVersion]":
    """The versions whose files may go: Archived, without an alias, and not among the newest `keep` Archived ones.

    Nor may those that another version shares.

    Args:
        versions: of one model, newest first.
        aliases: alias -> number of the version that it names.
        keep: how many Archived versions keep their files.
    """
    named = {str(number) for number in aliases.values()}
    archived = [version for version in versions if version.current_stage == ARCHIVED]
    return [
        version
        for version in archived[keep:]
        if str(version.version) not in named
        and version.tags.get(FILES_DELETED_TAG) in (None, _BEGUN)
        and not _shares_files(version, versions)
    ]


def _shares_files(version: "ModelVersion", versions: "Sequence[ModelVersion]") -> bool:
    """Whether it is a copy of a version, or has one: MLflow copies the record alone."""
    addresses = {version.source, f"models:/{version.name}/{version.version}"}
    others = {one.source for one in versions if one is not version}
    return bool(_COPY.match(version.source or "") or addresses & others)


def delete_old_files(
    client: "MlflowClient",
    log: "Collection[dict[str, Any]]",
    model: str,
    *,
    keep: int,
    fields: Mapping[str, Any],
    now: datetime,
    wait_s: float,
) -> list[str]:
    """Delete the files of a model's expendable versions, under the lock of its promotions.

    A version is marked before its files go, so that nobody builds on one that is half there; a deletion that
    was interrupted is finished the next time.

    Returns:
        The numbers of these versions.
    """

    def repair(abandoned: Intent) -> None:
        finish_or_undo(client, abandoned, now=now)

    entry = {**fields, "kind": "housekeeping", "reason": f"beyond the newest {keep} Archived versions", "at": now}
    with hold_intent(log, model, entry, repair=repair, wait_s=wait_s) as intent:
        versions = all_versions(client, model)
        aliases = client.get_registered_model(model).aliases if versions else {}
        deleted = []
        for version in expendable(versions, aliases, keep):
            number = str(version.version)
            intent.require_held()
            client.set_model_version_tag(model, number, FILES_DELETED_TAG, _BEGUN)
            delete_version_files(client, model, number)
            client.set_model_version_tag(model, number, FILES_DELETED_TAG, now.isoformat(timespec="seconds"))
            deleted.append(number)
        if deleted:
            intent.close("done", kind=FILES_DELETED, versions=deleted, finished_at=now)
        else:
            intent.withdraw()
    return deleted


def delete_old_runs(instance: DagsterInstance, *, before: datetime) -> int:
    """Delete ended runs that were created before; those that made a specialist's newest dataset stay.

    Returns:
        How many were deleted.
    """
    spared = _runs_of_newest_datasets(instance)
    old = instance.get_run_records(
        RunsFilter(statuses=_ENDED, created_before=before),
        limit=_RUNS_A_DAY,
        order_by="create_timestamp",
        ascending=True,
    )
    gone = [record.dagster_run.run_id for record in old if record.dagster_run.run_id not in spared]
    for run_id in gone:
        instance.delete_run(run_id)
    return len(gone)


def _runs_of_newest_datasets(instance: DagsterInstance) -> set[str]:
    newest: dict[Specialist, str] = {}
    for key in instance.get_materialized_partitions(_DATASET):
        partition = Partition.from_key(key)
        if newest.get(partition.specialist, "") < partition.week:
            newest[partition.specialist] = partition.week
    keys = [str(Partition(week, specialist).key) for specialist, week in newest.items()]
    where = [AssetRecordsFilter(asset_key=_DATASET, asset_partitions=[key]) for key in keys]
    return {record.run_id for one in where for record in instance.fetch_materializations(one, limit=1).records}


@op(
    out=Out(io_manager_key=IN_MEMORY),
    description=(
        "Deletes the files of Archived versions beyond the newest KEEP_VERSIONS of each model (never of one with an"
        " alias; their records stay), and Dagster's runs older than KEEP_RUNS_DAYS."
    ),
)
@tries_again
def throw_away(
    context: OpExecutionContext,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[dict[str, Any]]:
    """One model after the other, then the runs."""
    deleted: dict[str, list[str]] = {}
    with mongo.database() as database, mlflow.client() as client:
        for specialist in Specialist:
            fields = {"specialist": str(specialist), "dagster_run_id": context.run_id, "actor": actor(context.run)}
            deleted[specialist.registered_model] = delete_old_files(
                client,
                database[COLLECTION],
                specialist.registered_model,
                keep=settings.keep_versions,
                fields=fields,
                now=settings.now(),
                wait_s=settings.promotion_wait_s,
            )
    # Dagster's own clock decides how old a run is.
    oldest = datetime.now(UTC) - timedelta(days=settings.keep_runs_days)
    result: dict[str, Any] = {"versions": deleted, "runs": delete_old_runs(context.instance, before=oldest)}
    return Output(result, metadata=result)


@job(
    name=HOUSEKEEPING_JOB,
    executor_def=in_process_executor,
    tags={"dagster/retry_on_asset_or_op_failure": "false"},
    description="Deletes files of old Archived versions and old runs, by KEEP_VERSIONS and KEEP_RUNS_DAYS.",
)
def housekeeping() -> None:
    """One op."""
    throw_away()


housekeeping_schedule = ScheduleDefinition(
    name=HOUSEKEEPING_SCHEDULE,
    job=housekeeping,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Every day at 04:00 UTC.",
)
