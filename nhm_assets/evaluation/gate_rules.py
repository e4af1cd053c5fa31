"""The settings of the gate, and the limits that are no settings."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nhm_assets.settings import Settings

MIN_ROWS_PER_CLASS: Final = 20
"""Rows that are approve, and rows that are not, without which a question is not asked."""

IMPROBABLE: Final = 0.05
"""A rate that is above its threshold with a lower probability is below it."""


@dataclass(frozen=True)
class GateRules:
    """The settings of the gate."""

    precision_threshold: float
    recall_threshold: float
    f1_threshold: float
    max_f1_regression: float
    min_test_rows: int
    in_production: bool
    foreign_champion: str
    gate_folds: int
    gate_confidence: float
    gate_midweek_confidence: float
    reference_weeks: int
    max_f1_regression_to_reference: float
    shadow_agreement: float = 0.9
    allow_llm_data: bool = False

    @classmethod
    def of(cls, settings: "Settings", specialist: str) -> "GateRules":
        """The rules from the settings of the same names, and the thresholds that are the specialist's own."""
        own = {f"{metric}_threshold": value for metric, value in settings.thresholds_of(specialist).items()}
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)} | own)


def enough_of_each(rows: int, approvals: int) -> bool:
    """Whether enough rows are approve and enough are not."""
    return min(approvals, rows - approvals) >= MIN_ROWS_PER_CLASS
