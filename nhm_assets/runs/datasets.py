"""The newest dataset of a specialist that a retraining has used, and how far its feedback is learned."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dagster import AssetRecordsFilter, DagsterInstance, TimestampMetadataValue

from nhm_assets.domain.dagster_names import FEEDBACK_DATASET
from nhm_assets.domain.outcomes import UNDECIDED
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.queries import outcome_of

if TYPE_CHECKING:
    from dagster import EventLogRecord

_PER_PARTITION = 20


def newest_used_dataset(instance: DagsterInstance, specialist: Specialist) -> "EventLogRecord | None":
    """The materialization of the newest dataset whose run came to an outcome.

    Feedback in the dataset of a run that broke, was refused or decided nothing is still to be learned.
    """
    partitions = map(Partition.from_key, instance.get_materialized_partitions(FEEDBACK_DATASET))
    weeks = sorted((partition.week for partition in partitions if partition.specialist == specialist), reverse=True)
    for week in weeks:
        key = str(Partition(week, specialist).key)
        where = AssetRecordsFilter(asset_key=FEEDBACK_DATASET, asset_partitions=[key])
        for record in instance.fetch_materializations(where, limit=_PER_PARTITION).records:
            if _was_used(instance, record.run_id):
                return record
    return None


def learned_until(instance: DagsterInstance, specialist: Specialist) -> datetime | None:
    """End of the window that the specialist last learned from; None if there is none."""
    record = newest_used_dataset(instance, specialist)
    if record is None or record.asset_materialization is None:
        return None
    metadata = record.asset_materialization.metadata
    end, window = metadata.get("window_end"), metadata.get("window")
    if isinstance(end, TimestampMetadataValue):
        return datetime.fromtimestamp(end.value, UTC)
    # Earlier releases recorded a list.
    return datetime.fromisoformat(str(window.value[1])) if window and isinstance(window.value, list) else None


def _was_used(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the run came to an outcome. A dataset that was reported without a run counts as used."""
    run = instance.get_run_by_id(run_id) if run_id else None
    return run is None or outcome_of(run) not in (None, *UNDECIDED)
