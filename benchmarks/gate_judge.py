"""The product's gate: for each history a report is made from the counts, and `judge` decides about it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.gate_evidence import CANDIDATE, RIVAL, Counts, Evidence, difference
from benchmarks.gate_rules import RULES, FirstGate
from nhm_assets.domain.dataset_schema import CLASS_NAMES
from nhm_assets.domain.fold_records import Fold, NewRows, Pooled, Reference
from nhm_assets.domain.records import Champion, Comparison, EvaluationReport, Metrics
from nhm_assets.evaluation.gate import GateRules, failed_gate, judge

_WEEK = datetime(2026, 11, 15, tzinfo=UTC)
_FOLDS = [Fold(number=number, learned_rows=0, tested_rows=0) for number in (1, 2)]
_CHAMPION, _REFERENCE, _CANDIDATE = "2", "1", "3"
_COMPARISON = Comparison(only_candidate_right=0, only_champion_right=0, mcnemar_p=1.0, differences={})
_NEW_ROWS = {"learned_until": _WEEK, "learned_by": "tag", "newer_window": False, "test": None}
_OTHER_METRICS: dict[str, Any] = {
    "accuracy": 0.0,
    "macro_f1": 0.0,
    "brier": 0.0,
    "log_loss": 0.0,
    "support": dict.fromkeys(CLASS_NAMES, 0),
    "confusion": [],
}
_OTHER_FIELDS: dict[str, Any] = {
    "specialist": "technical",
    "week": f"{_WEEK:%Y-%m-%d}",
    "window_start": _WEEK - timedelta(days=23),
    "model": "technical-evaluator",
    "version": _CANDIDATE,
    "run_id": "run",
    "data_version": "data",
    "code_version": "code",
    "data_source": "real",
    "synthetic_test": False,
    "scripted_rows": 0,
    "intervals": {},
    "foreign_champion": None,
    "compared_with": _CHAMPION,
    "prior_brier": 1.0,
    "importances": {},
    "compared_on": "new",
}
"""What does not decide in this world."""


class JudgeGate(FirstGate):
    """`judge`, asked about every history."""

    def __init__(self, rules: GateRules = RULES) -> None:
        super().__init__(rules)

    def __call__(self, evidence: Evidence) -> np.ndarray:
        """Whether no check of the gate failed."""
        return np.array([not failed_gate(judge(report, self.rules)) for report in reports(evidence, self.rules)])


def reports(evidence: Evidence, rules: GateRules, *, validated: bool = False) -> list[EvaluationReport]:
    """A report for each history.

    Args:
        evidence: what the platform would see.
        rules: with GATE_FOLDS=0 the reports have no folds.
        validated: whether the records are validated, which takes longer than the decision. A test does it.
    """
    make = _validated if validated else _constructed
    test, rival = Counts.of(evidence.test, CANDIDATE), Counts.of(evidence.test, RIVAL)
    folds = _folds(evidence, rules, make) if rules.gate_folds else [{}] * len(evidence.fair)
    window_end = _WEEK + timedelta(days=7 if evidence.week_is_over else 3)
    made = []
    for one, more in enumerate(folds):
        approvals, rows = int(test.tp[one] + test.fn[one]), int(evidence.test[one].sum())
        metrics = [make(Metrics, _OTHER_METRICS | _rates(counts, one)) for counts in (test, rival)]
        champion = {"version": _CHAMPION, "metrics": metrics[1], "comparison": _COMPARISON}
        fields = {
            "window_end": window_end,
            "test_rows": rows,
            "test_approvals": approvals,
            "candidate": metrics[0],
            "champion": make(Champion, champion),
            "baseline_f1": {"most_frequent": 0.0, "stratified": approvals / rows},
        }
        made.append(make(EvaluationReport, _OTHER_FIELDS | fields | more))
    return made


def _rates(counts: Counts, one: int) -> dict[str, float]:
    return {name: float(getattr(counts, name)[one]) for name in ("precision", "recall", "f1")}


def _calls(counts: Counts, one: int) -> dict[str, int]:
    return {name: int(getattr(counts, name)[one]) for name in ("tp", "fp", "fn", "tn")}


def _folds(evidence: Evidence, rules: GateRules, make: Any) -> list[dict[str, Any]]:
    """The fields of each report that the folds fill."""
    pooled, champion = Counts.of(evidence.pooled, CANDIDATE), Counts.of(evidence.fair, RIVAL)
    few = evidence.fair.sum(axis=1) < rules.min_test_rows
    fair = np.where(few[:, None], evidence.test, evidence.fair)
    rows, (differences, errors) = fair.sum(axis=1), difference(fair)
    to_reference, _ = difference(evidence.reference_fair)
    reference_rows = evidence.reference_fair.sum(axis=1)
    return [
        {
            "folds": _FOLDS,
            "pooled": make(Pooled, _calls(pooled, one)),
            "new_rows": make(NewRows, _NEW_ROWS | {"pooled": make(Pooled, _calls(champion, one))}),
            "fair_rows": int(rows[one]),
            "difference": float(differences[one]),
            "standard_error": float(errors[one]),
            "reference": make(
                Reference,
                {"weeks": rules.reference_weeks, "version": _CHAMPION, "reason": "it is the champion"}
                if evidence.champion_is_reference[one]
                else {
                    "weeks": rules.reference_weeks,
                    "version": _REFERENCE,
                    "rows": int(reference_rows[one]),
                    "difference": float(to_reference[one]),
                },
            ),
        }
        for one in range(len(rows))
    ]


def _constructed(kind: Any, fields: dict[str, Any]) -> Any:
    return kind.model_construct(**fields)


def _validated(kind: Any, fields: dict[str, Any]) -> Any:
    return kind(**fields)
