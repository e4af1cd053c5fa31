"""The newest dataset of a specialist that a retraining has used, and how far its feedback is learned."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from dagster import AssetRecordsFilter, DagsterEventType, DagsterInstance, RunsFilter, TimestampMetadataValue

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.outcomes import UNDECIDED
from nhm_assets.domain.partitions import Partition, weeks_before
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.queries import outcome_of

if TYPE_CHECKING:
    from dagster import DagsterRun, EventLogRecord

_PER_PARTITION: Final = 20
_RECENT: Final = 8
"""Weeks in which the newest dataset is looked for first. Nearly every specialist has one there."""


def newest_used_dataset(instance: DagsterInstance, specialist: Specialist) -> "EventLogRecord | None":
    """The materialization of the newest dataset whose run came to an outcome.

    Feedback in the dataset of a run that broke, was refused or decided nothing is still to be learned.
    """
    return _newest_used(instance, specialist, _weeks_of_datasets(instance).get(specialist, []))


def learned_until(instance: DagsterInstance, specialist: Specialist) -> datetime | None:
    """End of the window that the specialist last learned from; None if there is none."""
    return _window_end(newest_used_dataset(instance, specialist))


def learned_until_of_all(
    instance: DagsterInstance, specialists: Sequence[Specialist], running_week: str
) -> dict[str, datetime | None]:
    """The same for many specialists: three queries for all those whose newest dataset is recent and was used.

    Only for the others are the weeks of all datasets listed.

    Args:
        instance: that has recorded the datasets.
        specialists: who is asked for.
        running_week: the newest week of which there can be a dataset.
    """
    used = _recent_used(instance, specialists, running_week)
    missing = [specialist for specialist in specialists if specialist not in used]
    weeks = _weeks_of_datasets(instance) if missing else {}
    older = {specialist: _newest_used(instance, specialist, weeks.get(specialist, [])) for specialist in missing}
    return {str(specialist): _window_end(used.get(specialist) or older.get(specialist)) for specialist in specialists}


def _recent_used(
    instance: DagsterInstance, specialists: Sequence[Specialist], running_week: str
) -> "dict[str, EventLogRecord]":
    """The newest datasets of the recent weeks, as far as the newest one of all was used."""
    keys = {
        str(Partition(week, specialist).key)
        for week in weeks_before(running_week, _RECENT)
        for specialist in specialists
    }
    latest = instance.get_latest_storage_id_by_partition(FEEDBACK_DATASET, DagsterEventType.ASSET_MATERIALIZATION, keys)
    newest: dict[str, tuple[str, int]] = {}
    for key, storage_id in latest.items():
        partition = Partition.from_key(key)
        before = newest.get(partition.specialist, ("", 0))
        newest[str(partition.specialist)] = max(before, (partition.week, storage_id))
    if not newest:
        return {}
    where = AssetRecordsFilter(FEEDBACK_DATASET, storage_ids=[storage_id for _, storage_id in newest.values()])
    records = instance.fetch_materializations(where, limit=len(newest)).records
    run_ids = [record.run_id for record in records if record.run_id]
    runs = {run.run_id: run for run in instance.get_runs(RunsFilter(run_ids=run_ids))} if run_ids else {}
    return {
        str(Partition.from_key(record.partition_key or "").specialist): record
        for record in records
        if _came_to_an_outcome(runs.get(record.run_id))
    }


def _weeks_of_datasets(instance: DagsterInstance) -> dict[str, list[str]]:
    """Specialist -> the weeks of which it has datasets, newest first."""
    weeks: dict[str, list[str]] = {}
    for partition in map(Partition.from_key, instance.get_materialized_partitions(FEEDBACK_DATASET)):
        weeks.setdefault(str(partition.specialist), []).append(partition.week)
    return {specialist: sorted(of_it, reverse=True) for specialist, of_it in weeks.items()}


def _newest_used(instance: DagsterInstance, specialist: Specialist, weeks: Sequence[str]) -> "EventLogRecord | None":
    for week in weeks:
        key = str(Partition(week, specialist).key)
        where = AssetRecordsFilter(asset_key=FEEDBACK_DATASET, asset_partitions=[key])
        for record in instance.fetch_materializations(where, limit=_PER_PARTITION).records:
            if _came_to_an_outcome(instance.get_run_by_id(record.run_id) if record.run_id else None):
                return record
    return None


def _came_to_an_outcome(run: "DagsterRun | None") -> bool:
    """Whether the run of a dataset did. A dataset that was reported without a run counts as used."""
    return run is None or outcome_of(run) not in (None, *UNDECIDED)


def _window_end(record: "EventLogRecord | None") -> datetime | None:
    if record is None or record.asset_materialization is None:
        return None
    metadata = record.asset_materialization.metadata
    end, window = metadata.get("window_end"), metadata.get("window")
    if isinstance(end, TimestampMetadataValue):
        return datetime.fromtimestamp(end.value, UTC)
    # Earlier releases recorded a list.
    return datetime.fromisoformat(str(window.value[1])) if window and isinstance(window.value, list) else None
