"""The gate: one pure function of a report and the settings, one verdict a rule."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.records import EvaluationReport

if TYPE_CHECKING:
    from nhm_assets.settings import Settings

LEAST_PER_CLASS = 20
"""Test rows that are approve, and that are not, below which a verdict would rest on too few."""
IMPLAUSIBLE_F1 = 0.995

DESCRIPTIONS = {
    "precision_threshold": "Gate: precision of approve on the test rows reaches PRECISION_THRESHOLD.",
    "recall_threshold": "Gate: recall of approve on the test rows reaches RECALL_THRESHOLD.",
    "f1_threshold": "Gate: F1 of approve on the test rows reaches F1_THRESHOLD.",
    "not_worse_than_production": "Gate: F1 is at most MAX_F1_REGRESSION below that of the version in Production,"
    " scored on the same rows.",
    "beats_baseline": "Gate: F1 is above that of two dummies that look at no feature.",
    "enough_evidence": f"Gate: MIN_TEST_ROWS test rows, {LEAST_PER_CLASS} of them approve and {LEAST_PER_CLASS} not.",
    "data_source_allowed": "Gate: in production the test rows are real feedback.",
    "calibrated": "The Brier score is better than that of always predicting the class shares.",
    "plausible": f"F1 is at most {IMPLAUSIBLE_F1}; above that, a feature probably gives the label away.",
}


@dataclass(frozen=True)
class GateRules:
    """The settings that the gate judges by."""

    precision_threshold: float
    recall_threshold: float
    f1_threshold: float
    max_f1_regression: float
    min_test_rows: int
    in_production: bool

    @classmethod
    def of(cls, settings: "Settings") -> "GateRules":
        """The rules of this process's settings."""
        return cls(
            precision_threshold=settings.precision_threshold,
            recall_threshold=settings.recall_threshold,
            f1_threshold=settings.f1_threshold,
            max_f1_regression=settings.max_f1_regression,
            min_test_rows=settings.min_test_rows,
            in_production=settings.in_production,
        )


def judge(report: EvaluationReport, rules: GateRules) -> list[Verdict]:
    """One verdict a rule, in the order of `DESCRIPTIONS`; those named in `GATE_CHECKS` decide."""
    candidate = report.candidate
    return [
        _reaches("precision", candidate.precision, rules.precision_threshold),
        _reaches("recall", candidate.recall, rules.recall_threshold),
        _reaches("f1", candidate.f1, rules.f1_threshold),
        _not_worse(report, rules.max_f1_regression),
        _beats_baseline(report),
        _enough_evidence(report, rules.min_test_rows),
        _data_source_allowed(report, in_production=rules.in_production),
        _calibrated(report),
        _plausible(report),
    ]


def failed_gate(verdicts: list[Verdict]) -> list[str]:
    """Names of the gate's rules that do not hold; empty where the candidate passes."""
    return [verdict.check for verdict in verdicts if verdict.check in GATE_CHECKS and not verdict.passed]


def _reaches(metric: str, value: float, threshold: float) -> Verdict:
    name = f"{metric}_threshold"
    return Verdict(
        name,
        value >= threshold,
        f"{metric} {value:.3f}, wanted is {threshold:.3f}",
        {metric: value, name.upper(): threshold},
    )


def _not_worse(report: EvaluationReport, most: float) -> Verdict:
    name = "not_worse_than_production"
    if report.champion is None:
        return Verdict(name, passed=True, reason="no version is in Production yet", figures={"f1": report.candidate.f1})
    champion, f1 = report.champion.metrics.f1, report.candidate.f1
    return Verdict(
        name,
        f1 >= champion - most,
        f"F1 {f1:.3f}; version {report.champion.version} in Production has {champion:.3f} on the same rows,"
        f" and {most:.3f} less is allowed",
        {"f1": f1, "production_f1": champion, "MAX_F1_REGRESSION": most},
    )


def _beats_baseline(report: EvaluationReport) -> Verdict:
    best = max(report.baseline_f1, key=lambda name: report.baseline_f1[name])
    reason = f"F1 {report.candidate.f1:.3f}; the dummy {best} has {report.baseline_f1[best]:.3f}"
    passed = report.candidate.f1 > report.baseline_f1[best]
    return Verdict("beats_baseline", passed, reason, {"f1": report.candidate.f1, **report.baseline_f1})


def _enough_evidence(report: EvaluationReport, wanted: int) -> Verdict:
    approvals, others = report.test_approvals, report.test_rows - report.test_approvals
    return Verdict(
        "enough_evidence",
        report.test_rows >= wanted and min(approvals, others) >= LEAST_PER_CLASS,
        f"{report.test_rows} test rows, {approvals} approve and {others} not; wanted are {wanted}, with"
        f" {LEAST_PER_CLASS} of each",
        {"test_rows": report.test_rows, "approve": approvals, "MIN_TEST_ROWS": wanted},
    )


def _data_source_allowed(report: EvaluationReport, *, in_production: bool) -> Verdict:
    tested_on = "synthetic" if report.synthetic_test else "real"
    where = "production" if in_production else "no production"
    return Verdict(
        "data_source_allowed",
        not (report.synthetic_test and in_production),
        f"tested on {tested_on} rows, ENVIRONMENT is {where}",
        {"data_source": report.data_source, "synthetic_test": report.synthetic_test},
    )


def _calibrated(report: EvaluationReport) -> Verdict:
    brier, prior = report.candidate.brier, report.prior_brier
    return Verdict(
        "calibrated",
        brier < prior,
        f"Brier score {brier:.3f}; always predicting the class shares gives {prior:.3f}",
        {"brier": brier, "prior_brier": prior},
        warns_only=True,
    )


def _plausible(report: EvaluationReport) -> Verdict:
    f1 = report.candidate.f1
    reason = f"F1 {f1:.3f}, implausible is above {IMPLAUSIBLE_F1}"
    return Verdict("plausible", f1 <= IMPLAUSIBLE_F1, reason, {"f1": f1}, warns_only=True)
