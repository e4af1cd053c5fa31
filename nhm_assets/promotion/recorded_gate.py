"""The gate verdicts that the Dagster instance has recorded for exactly one report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster import AssetCheckKey, AssetCheckSeverity, DagsterInstance

from nhm_assets.domain.dagster_internals import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    PartitionKeyFilter,
)
from nhm_assets.domain.dagster_names import EVALUATION_REPORT
from nhm_assets.domain.outcomes import GATE_CHECKS, HELD_AS, HELD_BECAUSE, REPORT_DIGEST, HeldAs

if TYPE_CHECKING:
    from nhm_assets.domain.dagster_internals import AssetCheckExecutionRecord

_MAX_RECORDS = 50
"""Records of a check that are searched if the latest one is about another report."""


@dataclass(frozen=True)
class RecordedGate:
    """The recorded verdicts on one report.

    Attributes:
        passed, failed: names of the gate checks with such a verdict.
        undecided: names of the gate checks that the failed ones left without a verdict of their own.
        missing: names of the gate checks without a verdict on this report.
        run_ids: the Dagster runs that recorded the verdicts.
        held_as: what the rows say of the candidate if a check failed; None if none did.
        because: the sentence with the figures that say so.
        thresholds: what precision, recall and f1 had to reach, as the verdicts say.
    """

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    undecided: tuple[str, ...]
    missing: tuple[str, ...]
    run_ids: frozenset[str]
    held_as: HeldAs | None = None
    because: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether every gate check has passed."""
        return self.passed == GATE_CHECKS


def recorded_gate(instance: DagsterInstance, partition_key: str, report_digest: str) -> RecordedGate:
    """Find the gate verdicts of a partition on the report with this digest."""
    keys = {name: AssetCheckKey(EVALUATION_REPORT, name) for name in GATE_CHECKS}
    in_partition = PartitionKeyFilter(key=partition_key)
    storage = instance.event_log_storage
    latest = storage.get_latest_asset_check_execution_by_key(list(keys.values()), partition_filter=in_partition)
    verdicts: dict[str, AssetCheckExecutionRecord] = {}
    for name, key in keys.items():
        records = [latest[key]] if key in latest else []
        if not any(_is_about(record, report_digest) for record in records):
            # Another run of the partition may have recorded newer verdicts, or may be running.
            records = list(
                storage.get_asset_check_execution_history(key, limit=_MAX_RECORDS, partition_filter=in_partition)
            )
        about = [record for record in records if _is_about(record, report_digest)]
        if about:
            verdicts[name] = about[0]
    failed = tuple(name for name in GATE_CHECKS if name in verdicts and _failed(verdicts[name]))
    held_as = _metadata(verdicts[failed[0]], HELD_AS) if failed else None
    return RecordedGate(
        passed=tuple(name for name in GATE_CHECKS if name in verdicts and _passed(verdicts[name])),
        failed=failed,
        undecided=tuple(name for name in GATE_CHECKS if name in verdicts and _undecided(verdicts[name])),
        missing=tuple(name for name in GATE_CHECKS if name not in verdicts),
        run_ids=frozenset(record.run_id for record in verdicts.values()),
        held_as=HeldAs(held_as) if held_as else None,
        because=_metadata(verdicts[failed[0]], HELD_BECAUSE) if failed else "",
        thresholds=_thresholds(verdicts),
    )


def _thresholds(verdicts: "Mapping[str, AssetCheckExecutionRecord]") -> dict[str, float]:
    found = {}
    for metric in ("precision", "recall", "f1"):
        check = f"{metric}_threshold"
        if check in verdicts and (required := _metadata(verdicts[check], check.upper())):
            found[metric] = float(required)
    return found


def _is_about(record: "AssetCheckExecutionRecord", report_digest: str) -> bool:
    if record.status not in COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES:
        return False
    return _metadata(record, REPORT_DIGEST) == report_digest


def _metadata(record: "AssetCheckExecutionRecord", name: str) -> str:
    """A text in the metadata of a verdict; empty if it has none."""
    value = record.evaluation and record.evaluation.metadata.get(name)
    return str(value.value) if value else ""


def _failed(record: "AssetCheckExecutionRecord") -> bool:
    return not _passed(record) and not _undecided(record)


def _undecided(record: "AssetCheckExecutionRecord") -> bool:
    """Such a check is a warning: what failed before it holds the candidate."""
    evaluation = record.evaluation
    return evaluation is not None and not evaluation.passed and evaluation.severity is AssetCheckSeverity.WARN


def _passed(record: "AssetCheckExecutionRecord") -> bool:
    return record.evaluation is not None and record.evaluation.passed
