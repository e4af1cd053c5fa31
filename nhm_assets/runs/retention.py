"""Deletes Dagster's old runs and their output."""

from datetime import datetime
from pathlib import Path
from typing import Final

from dagster import AssetRecordsFilter, DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.dagster_internals import SqliteEventLogStorage
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.datasets import newest_used_dataset

_RUNS_PER_DAY: Final = 500
_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


def delete_old_runs(instance: DagsterInstance, *, before: datetime) -> int:
    """Delete ended runs created before that time, except those of each specialist's newest datasets.

    These are the newest one of all, and the newest one that a retraining used.

    Returns:
        Number of deleted runs.
    """
    kept = _runs_of_newest_datasets(instance)
    old = instance.get_run_records(
        RunsFilter(statuses=_ENDED, created_before=before),
        limit=_RUNS_PER_DAY,
        order_by="create_timestamp",
        ascending=True,
    )
    expired = [record.dagster_run.run_id for record in old if record.dagster_run.run_id not in kept]
    for run_id in expired:
        instance.delete_run(run_id)
        _delete_remains(instance, run_id)
    return len(expired)


def _delete_remains(instance: DagsterInstance, run_id: str) -> None:
    """Delete what Dagster keeps of a deleted run: its steps' output and, on SQLite, the empty file of its events."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        for ending in ("", "-wal", "-shm"):
            Path(events.path_for_shard(run_id) + ending).unlink(missing_ok=True)


def _runs_of_newest_datasets(instance: DagsterInstance) -> set[str]:
    newest: dict[Specialist, str] = {}
    for key in instance.get_materialized_partitions(FEEDBACK_DATASET):
        partition = Partition.from_key(key)
        if newest.get(partition.specialist, "") < partition.week:
            newest[partition.specialist] = partition.week
    keys = [str(Partition(week, specialist).key) for specialist, week in newest.items()]
    filters = [AssetRecordsFilter(asset_key=FEEDBACK_DATASET, asset_partitions=[key]) for key in keys]
    used = [newest_used_dataset(instance, specialist) for specialist in newest]
    return {record.run_id for each in filters for record in instance.fetch_materializations(each, limit=1).records} | {
        record.run_id for record in used if record
    }
