"""What the Dagster instance has recorded of the gate, for exactly one report."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import AssetCheckKey, DagsterInstance

from nhm_assets.domain.dagster_internals import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    PartitionKeyFilter,
)
from nhm_assets.domain.dagster_names import EVALUATION_REPORT
from nhm_assets.domain.outcomes import GATE_CHECKS, REPORT_DIGEST

if TYPE_CHECKING:
    from nhm_assets.domain.dagster_internals import AssetCheckExecutionRecord

_RECORDS_LOOKED_THROUGH = 50
"""Verdicts of one partition's check that are searched when the latest is about another report."""


@dataclass(frozen=True)
class RecordedGate:
    """The recorded verdicts about one report.

    Attributes:
        passed, failed: names of gate checks recorded as such.
        missing: names of those that say nothing about this report.
        run_ids: the Dagster runs that recorded the verdicts.
    """

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    run_ids: frozenset[str]

    @property
    def open(self) -> bool:
        """Whether every gate check is recorded as passed."""
        return self.passed == GATE_CHECKS


def recorded_gate(instance: DagsterInstance, partition_key: str, report_digest: str) -> RecordedGate:
    """Look up the gate's verdicts of a partition that name the report with this digest."""
    keys = {name: AssetCheckKey(EVALUATION_REPORT, name) for name in GATE_CHECKS}
    where = PartitionKeyFilter(key=partition_key)
    storage = instance.event_log_storage
    latest = storage.get_latest_asset_check_execution_by_key(list(keys.values()), partition_filter=where)
    found: dict[str, AssetCheckExecutionRecord] = {}
    for name, key in keys.items():
        records = [latest[key]] if key in latest else []
        if not any(_is_about(record, report_digest) for record in records):
            # Another run of the partition may have been judged, or may be under way, since.
            records = list(
                storage.get_asset_check_execution_history(key, limit=_RECORDS_LOOKED_THROUGH, partition_filter=where)
            )
        about = [record for record in records if _is_about(record, report_digest)]
        if about:
            found[name] = about[0]
    return RecordedGate(
        passed=tuple(name for name in GATE_CHECKS if name in found and _passed(found[name])),
        failed=tuple(name for name in GATE_CHECKS if name in found and not _passed(found[name])),
        missing=tuple(name for name in GATE_CHECKS if name not in found),
        run_ids=frozenset(record.run_id for record in found.values()),
    )


def _is_about(record: "AssetCheckExecutionRecord", report_digest: str) -> bool:
    if record.status not in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES or record.evaluation is None:
        return False
    named = record.evaluation.metadata.get(REPORT_DIGEST)
    return named is not None and named.value == report_digest


def _passed(record: "AssetCheckExecutionRecord") -> bool:
    return record.evaluation is not None and record.evaluation.passed
