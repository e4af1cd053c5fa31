"""The verdicts that the Dagster instance has recorded for exactly one thing: a report, a version or a dataset."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from dagster import AssetCheckKey, AssetKey, DagsterInstance

from nhm_assets.domain.dagster_internals import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    PartitionKeyFilter,
)

if TYPE_CHECKING:
    from nhm_assets.domain.dagster_internals import AssetCheckExecutionRecord

_MAX_RECORDS: Final = 50
"""Records of a check that are searched if the latest one is about something else."""


def newest_about(
    instance: DagsterInstance,
    partition_key: str,
    asset: AssetKey,
    checks: Iterable[str],
    is_about: "Callable[[AssetCheckExecutionRecord], bool]",
) -> "dict[str, AssetCheckExecutionRecord]":
    """The newest completed record of each check about one thing, by the name of the check; without those of no record.

    Args:
        instance: of Dagster.
        partition_key: of the asset that the checks judge.
        asset: that the checks judge.
        checks: their names.
        is_about: whether a record is about the thing.
    """
    keys = {name: AssetCheckKey(asset, name) for name in checks}
    in_partition = PartitionKeyFilter(key=partition_key)
    storage = instance.event_log_storage
    latest = storage.get_latest_asset_check_execution_by_key(list(keys.values()), partition_filter=in_partition)

    def counts(record: "AssetCheckExecutionRecord") -> bool:
        return record.status in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES and is_about(record)

    found: dict[str, AssetCheckExecutionRecord] = {}
    for name, key in keys.items():
        records = [latest[key]] if key in latest else []
        if not any(map(counts, records)):
            # Another run of the partition may have recorded newer verdicts, or may be running.
            records = list(
                storage.get_asset_check_execution_history(key, limit=_MAX_RECORDS, partition_filter=in_partition)
            )
        if about := [record for record in records if counts(record)]:
            found[name] = about[0]
    return found


def text_of(record: "AssetCheckExecutionRecord", name: str) -> str:
    """A text in the metadata of a verdict; empty if it has none."""
    value = record.evaluation and record.evaluation.metadata.get(name)
    return str(value.value) if value else ""


def has_passed(record: "AssetCheckExecutionRecord") -> bool:
    """Whether the check has passed."""
    return record.evaluation is not None and record.evaluation.passed
