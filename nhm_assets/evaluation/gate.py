"""The gate: one pure function. A report and the settings go in, one verdict per rule comes out."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.records import EvaluationReport

if TYPE_CHECKING:
    from nhm_assets.settings import Settings

MIN_ROWS_PER_CLASS = 20
"""Required test rows that are approve, and required test rows that are not."""
SUSPICIOUS_F1 = 0.995
_NOT_WORSE = "not_worse_than_production"

DESCRIPTIONS = {
    "precision_threshold": "Gate: precision of approve on the test rows reaches PRECISION_THRESHOLD.",
    "recall_threshold": "Gate: recall of approve on the test rows reaches RECALL_THRESHOLD.",
    "f1_threshold": "Gate: F1 of approve on the test rows reaches F1_THRESHOLD.",
    "not_worse_than_production": "Gate: F1 is at most MAX_F1_REGRESSION below that of the champion (the version in"
    " Production) on the same rows. A foreign champion is treated as FOREIGN_CHAMPION says.",
    "beats_baseline": "Gate: F1 is above that of two dummy classifiers that ignore the features.",
    "enough_evidence": f"Gate: there are at least MIN_TEST_ROWS test rows; at least {MIN_ROWS_PER_CLASS} are approve"
    f" and {MIN_ROWS_PER_CLASS} are not.",
    "data_source_allowed": "Gate: in production, the test rows are real feedback, and scripts made none of the rows.",
    "calibrated": "The Brier score is better than that of always predicting the class frequencies.",
    "plausible": f"F1 is at most {SUSPICIOUS_F1}. A higher F1 is suspicious: a feature probably reveals the label.",
}


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

    @classmethod
    def of(cls, settings: "Settings") -> "GateRules":
        """The rules from the settings of the same names."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})


def judge(report: EvaluationReport, rules: GateRules) -> list[Verdict]:
    """One verdict per rule, in the order of `DESCRIPTIONS`. The rules in `GATE_CHECKS` decide the promotion."""
    candidate = report.candidate
    return [
        _reaches("precision", candidate.precision, rules.precision_threshold),
        _reaches("recall", candidate.recall, rules.recall_threshold),
        _reaches("f1", candidate.f1, rules.f1_threshold),
        _not_worse(report, rules),
        _beats_baseline(report),
        _enough_evidence(report, rules.min_test_rows),
        _data_source_allowed(report, in_production=rules.in_production),
        _calibrated(report),
        _plausible(report),
    ]


def failed_gate(verdicts: list[Verdict]) -> list[str]:
    """Names of the gate checks that failed; empty if the candidate passes the gate."""
    return [verdict.check for verdict in verdicts if verdict.check in GATE_CHECKS and not verdict.passed]


def _reaches(metric: str, value: float, threshold: float) -> Verdict:
    check = f"{metric}_threshold"
    result = f"{metric.capitalize()} {value:.3f}"
    if value >= threshold:
        reason = f"{result} reaches the required {threshold:.3f}."
    else:
        reason = f"{result} is below the required {threshold:.3f} (by {_difference(threshold - value)})."
    return Verdict(check, value >= threshold, reason, {metric: value, check.upper(): threshold})


def _difference(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "less than 0.001"


def _not_worse(report: EvaluationReport, rules: GateRules) -> Verdict:
    check, f1 = _NOT_WORSE, report.candidate.f1
    max_regression = rules.max_f1_regression
    if verdict := _against_foreign(report, rules.foreign_champion):
        return verdict
    if report.champion is None:
        return Verdict(check, passed=True, reason="There is no champion to compare with.", figures={"f1": f1})
    champion_f1 = report.champion.metrics.f1
    passed = f1 >= champion_f1 - max_regression
    compared = f"F1 {f1:.3f} is {{}} the {champion_f1:.3f} of the champion (version {report.champion.version})"
    if f1 >= champion_f1:
        reason = f"{compared.format('not below')} on the same rows."
    else:
        below = f"{_difference(champion_f1 - f1)} below"
        limit = "within the allowed" if passed else "more than the allowed"
        reason = f"{compared.format(below)} on the same rows, {limit} {max_regression:.3f}."
    figures = {"f1": f1, "production_f1": champion_f1, "MAX_F1_REGRESSION": max_regression}
    return Verdict(check, passed, reason, figures)


def _against_foreign(report: EvaluationReport, rule: str) -> Verdict | None:
    """The verdict where FOREIGN_CHAMPION decides; None if the champion is compared."""
    foreign = report.foreign_champion
    if foreign is None or (rule == "compare" and report.champion is not None):
        return None
    endings = {
        "replace": "The candidate is judged by everything but the comparison",
        "refuse": "It is not replaced; to replace it, set FOREIGN_CHAMPION=replace",
        "compare": "It cannot be compared. To load it, set ALLOW_UNVERIFIED_CHAMPION=true; to replace it without a"
        " comparison, set FOREIGN_CHAMPION=replace",
    }
    reason = f"The champion (version {foreign.version}) is foreign: {foreign.reason}. {endings[rule]}."
    figures = {"production_version": foreign.version, "FOREIGN_CHAMPION": rule}
    return Verdict(_NOT_WORSE, rule == "replace", reason, figures)


def _beats_baseline(report: EvaluationReport) -> Verdict:
    f1, baselines = report.candidate.f1, report.baseline_f1
    best = max(baselines, key=lambda name: baselines[name])
    passed = f1 > baselines[best]
    reason = f"F1 {f1:.3f} is {'' if passed else 'not '}above the {baselines[best]:.3f} of the dummy classifier {best}."
    return Verdict("beats_baseline", passed, reason, {"f1": f1, **baselines})


def _enough_evidence(report: EvaluationReport, min_rows: int) -> Verdict:
    rows, approvals = report.test_rows, report.test_approvals
    passed = rows >= min_rows and min(approvals, rows - approvals) >= MIN_ROWS_PER_CLASS
    return Verdict(
        "enough_evidence",
        passed,
        f"{rows} test rows ({approvals} approve, {rows - approvals} not) are {'enough' if passed else 'too few'}:"
        f" at least {min_rows} are required, and at least {MIN_ROWS_PER_CLASS} of each kind.",
        {"test_rows": rows, "approve": approvals, "MIN_TEST_ROWS": min_rows},
    )


def _data_source_allowed(report: EvaluationReport, *, in_production: bool) -> Verdict:
    passed = not (in_production and (report.synthetic_test or report.scripted_rows))
    faults = ["the test rows are synthetic"] if report.synthetic_test else []
    if report.scripted_rows:
        faults.append(f"scripts made the feedback of {report.scripted_rows} rows")
    if faults:
        allowed = "Allowed outside" if passed else "Not allowed in"
        reason = f"{allowed} production (ENVIRONMENT): {', and '.join(faults)}."
    elif report.scripted_rows is None:
        reason = "The test rows are real feedback. This report is from before feedback by scripts was counted."
    else:
        reason = "The test rows are real feedback, and people gave all of it."
    figures = {
        "data_source": report.data_source,
        "synthetic_test": report.synthetic_test,
        "scripted_rows": report.scripted_rows,
    }
    return Verdict("data_source_allowed", passed, reason, figures)


def _calibrated(report: EvaluationReport) -> Verdict:
    brier, prior = report.candidate.brier, report.prior_brier
    passed = brier < prior
    reason = (
        f"Brier score {brier:.3f} is {'' if passed else 'not '}better than {prior:.3f}, the score of always predicting"
        " the class frequencies."
    )
    return Verdict("calibrated", passed, reason, {"brier": brier, "prior_brier": prior}, warns_only=True)


def _plausible(report: EvaluationReport) -> Verdict:
    f1 = report.candidate.f1
    passed = f1 <= SUSPICIOUS_F1
    reason = f"F1 {f1:.3f} is {'plausible' if passed else 'suspicious'} (suspicious above {SUSPICIOUS_F1})."
    return Verdict("plausible", passed, reason, {"f1": f1}, warns_only=True)
