"""The gate verdicts that the Dagster instance has recorded for exactly one report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagster import AssetCheckSeverity, DagsterInstance

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.outcomes import GATE_CHECKS, HELD_AS, HELD_BECAUSE, REPORT_DIGEST, HeldAs
from nhm_assets.promotion.recorded_checks import has_passed, newest_about, text_of

if TYPE_CHECKING:
    from nhm_assets.domain.dagster_internals import AssetCheckExecutionRecord


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
    verdicts = newest_about(
        instance,
        partition_key,
        EVALUATION_REPORT,
        GATE_CHECKS,
        lambda record: text_of(record, REPORT_DIGEST) == report_digest,
    )
    failed = tuple(name for name in GATE_CHECKS if name in verdicts and _failed(verdicts[name]))
    held_as = text_of(verdicts[failed[0]], HELD_AS) if failed else None
    return RecordedGate(
        passed=tuple(name for name in GATE_CHECKS if name in verdicts and has_passed(verdicts[name])),
        failed=failed,
        undecided=tuple(name for name in GATE_CHECKS if name in verdicts and _undecided(verdicts[name])),
        missing=tuple(name for name in GATE_CHECKS if name not in verdicts),
        run_ids=frozenset(record.run_id for record in verdicts.values()),
        held_as=HeldAs(held_as) if held_as else None,
        because=text_of(verdicts[failed[0]], HELD_BECAUSE) if failed else "",
        thresholds=_thresholds(verdicts),
    )


def _thresholds(verdicts: "Mapping[str, AssetCheckExecutionRecord]") -> dict[str, float]:
    found = {}
    for metric in ("precision", "recall", "f1"):
        check = f"{metric}_threshold"
        if check in verdicts and (required := text_of(verdicts[check], check.upper())):
            found[metric] = float(required)
    return found


def _failed(record: "AssetCheckExecutionRecord") -> bool:
    return not has_passed(record) and not _undecided(record)


def _undecided(record: "AssetCheckExecutionRecord") -> bool:
    """Such a check is a warning: what failed before it holds the candidate."""
    evaluation = record.evaluation
    return evaluation is not None and not evaluation.passed and evaluation.severity is AssetCheckSeverity.WARN
