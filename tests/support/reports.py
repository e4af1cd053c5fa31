"""Evaluation reports with chosen values, for tests of the gate and of the tables."""

from typing import Any

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.fold_records import Fold, NewRows, Pooled, Reference
from nhm_assets.domain.increment_records import Increment
from nhm_assets.domain.records import Champion, Comparison, EvaluationReport, Interval, Metrics, TrainedModel
from nhm_assets.evaluation.gate import GateRules
from tests.support.documents import WEEK, WEEK_END, WINDOW_START

RULES = GateRules(
    precision_threshold=0.75,
    recall_threshold=0.70,
    f1_threshold=0.72,
    max_f1_regression=0.01,
    min_test_rows=100,
    in_production=False,
    foreign_champion="replace",
    gate_folds=2,
    gate_confidence=0.5,
    gate_midweek_confidence=0.8,
    reference_weeks=8,
    max_f1_regression_to_reference=0.02,
    shadow_agreement=0.9,
)
"""The rules of the default settings."""

_SUBJECT: dict[str, Any] = {
    "specialist": "technical",
    "week": WEEK,
    "window_start": WINDOW_START,
    "window_end": WEEK_END,
    "model": "technical-evaluator",
    "version": "2",
    "run_id": "run-2",
    "data_version": "d" * 32,
    "code_version": "c" * 12,
    "data_source": "real",
}


def trained_model(**changes: Any) -> TrainedModel:
    fields = {"sha256": "5" * 64, "parameters": {"max_depth": 10}, "rows": {"train": 70, "validation": 15, "test": 15}}
    return TrainedModel(**(_SUBJECT | fields | changes))


def increment_record(frozen: str, **changes: Any) -> Increment:
    """What an increment of this version records; its correction was better."""
    before = {"frozen_log_loss": 0.5, "log_loss": 0.4, "last_frozen_log_loss": 0.5, "last_log_loss": 0.4}
    fields = {"frozen": frozen, "feedback": 9, "last": 9, "fell_back": False, **before}
    return Increment(**(fields | changes))


def metrics(**changes: Any) -> Metrics:
    """Metrics of a good model."""
    fields: dict[str, Any] = {
        "precision": 0.9,
        "recall": 0.85,
        "f1": 0.87,
        "accuracy": 0.8,
        "macro_f1": 0.78,
        "brier": 0.3,
        "log_loss": 0.5,
        "support": {"reject": 60, "approve": 70, "review_required": 70},
        "confusion": [[50, 5, 5], [5, 60, 5], [5, 5, 60]],
    }
    return Metrics(**(fields | changes))


def champion(f1: float, *, version: str = "1") -> Champion:
    differences = {name: Interval(low=-0.02, high=0.03) for name in ("precision", "recall", "f1")}
    comparison = Comparison(only_candidate_right=7, only_champion_right=4, mcnemar_p=0.5488, differences=differences)
    return Champion(version=version, metrics=metrics(f1=f1), comparison=comparison)


def new_rows(**changes: Any) -> NewRows:
    """All test rows are new to a champion that still reaches the thresholds."""
    fields: dict[str, Any] = {
        "learned_until": WINDOW_START,
        "learned_by": "dataset",
        "newer_window": False,
        "test": None,
        "pooled": Pooled(tp=160, fp=30, fn=40, tn=170),
    }
    return NewRows(**(fields | changes))


def fold(number: int, **changes: Any) -> Fold:
    fields: dict[str, Any] = {
        "learned_rows": 660,
        "tested_rows": 180,
        "confusion": [[45, 5, 5], [5, 55, 5], [5, 5, 50]],
    }
    return Fold(number=number, **(fields | changes))


def report(*, candidate: Metrics | None = None, **changes: Any) -> EvaluationReport:
    """A report that passes every rule; name a field to change it."""
    fields: dict[str, Any] = {
        "test_rows": 200,
        "test_approvals": 70,
        "synthetic_test": False,
        "scripted_rows": 0,
        "candidate": candidate or metrics(),
        "intervals": {name: Interval(low=0.8, high=0.92) for name in ("precision", "recall", "f1")},
        "champion": None,
        "baseline_f1": {"most_frequent": 0.5, "stratified": 0.4},
        "prior_brier": 0.66,
        "importances": dict.fromkeys(FEATURE_NAMES, 0.0) | {"risk_score": 0.4, "complexity_score": 0.1},
        "folds": [fold(1, learned_rows=660), fold(2, learned_rows=840)],
        "pooled": Pooled(tp=170, fp=25, fn=30, tn=335),
        "reference": Reference(weeks=8, reason="no version was in Production 8 weeks before"),
    }
    compared: Champion | None = changes.get("champion")
    fields["compared_with"] = compared.version if compared else None
    if compared:
        fields |= {
            "new_rows": new_rows(),
            "fair_rows": 400,
            "difference": 0.0,
            "standard_error": 0.01,
            "compared_on": "new",
        }
    return EvaluationReport(**(_SUBJECT | fields | changes))
