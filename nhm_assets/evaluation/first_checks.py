"""The first checks: what the test rows say, the champion on the same rows, and two dummies."""

from typing import Final

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.records import Champion, EvaluationReport
from nhm_assets.evaluation.gate_rules import MIN_ROWS_PER_CLASS, GateRules, enough_of_each

SUSPICIOUS_F1: Final = 0.995
_NOT_WORSE = "not_worse_than_production"


def first_verdicts(report: EvaluationReport, rules: GateRules) -> list[Verdict]:
    """The verdicts that need no further fit."""
    candidate = report.candidate
    return [
        _reaches("precision", candidate.precision, rules.precision_threshold),
        _reaches("recall", candidate.recall, rules.recall_threshold),
        _reaches("f1", candidate.f1, rules.f1_threshold),
        _not_worse(report, rules),
        _beats_baseline(report),
        _enough_evidence(report, rules.min_test_rows),
        _data_source_allowed(report, rules),
    ]


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
    if verdict := against_foreign(report, rules.foreign_champion, _NOT_WORSE):
        return verdict
    champion = report.champion
    if champion is None:
        reason = "There is no champion to compare with."
        return Verdict(_NOT_WORSE, passed=True, reason=reason, figures={"f1": report.candidate.f1})
    new_rows = report.new_rows
    fair = new_rows.test if new_rows else None
    if new_rows is None or fair is None:
        return _compared(report.candidate.f1, champion.metrics.f1, champion, rules, "the same rows")
    if enough_of_each(fair.rows, fair.approvals):
        left_out = f"{fair.left_out} are left out: it has learned them or their plans"
        rows = f"the {fair.rows} test rows that are new to it ({left_out})"
        return _compared(fair.f1, fair.champion_f1, champion, rules, rows)
    few = f"only {fair.rows} of {fair.rows + fair.left_out} test rows are new to the champion"
    if new_rows.newer_window:
        reason = (
            f"Not compared: {few} (version {champion.version}), which learned from a newer window. The candidate is"
            " superseded anyway."
        )
        figures = {"rows": fair.rows, "production_version": champion.version}
        return Verdict(_NOT_WORSE, passed=True, reason=reason, figures=figures)
    rows = f"all test rows, because {few}"
    return _compared(report.candidate.f1, champion.metrics.f1, champion, rules, rows)


def _compared(f1: float, champion_f1: float, champion: Champion, rules: GateRules, rows: str) -> Verdict:
    max_regression = rules.max_f1_regression
    passed = f1 >= champion_f1 - max_regression
    compared = f"F1 {f1:.3f} is {{}} the {champion_f1:.3f} of the champion (version {champion.version}) on {rows}"
    if f1 >= champion_f1:
        reason = f"{compared.format('not below')}."
    else:
        below = f"{_difference(champion_f1 - f1)} below"
        limit = "within the allowed" if passed else "more than the allowed"
        reason = f"{compared.format(below)}, {limit} {max_regression:.3f}."
    figures = {"f1": f1, "production_f1": champion_f1, "MAX_F1_REGRESSION": max_regression}
    return Verdict(_NOT_WORSE, passed, reason, figures)


def against_foreign(report: EvaluationReport, rule: str, check: str) -> Verdict | None:
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
    return Verdict(check, rule == "replace", reason, figures, is_estimate=False)


def _beats_baseline(report: EvaluationReport) -> Verdict:
    f1, baselines = report.candidate.f1, report.baseline_f1
    best = max(baselines, key=lambda name: baselines[name])
    passed = f1 > baselines[best]
    reason = f"F1 {f1:.3f} is {'' if passed else 'not '}above the {baselines[best]:.3f} of the dummy classifier {best}."
    return Verdict("beats_baseline", passed, reason, {"f1": f1, **baselines})


def _enough_evidence(report: EvaluationReport, min_rows: int) -> Verdict:
    rows, approvals = report.test_rows, report.test_approvals
    passed = rows >= min_rows and enough_of_each(rows, approvals)
    return Verdict(
        "enough_evidence",
        passed,
        f"{rows} test rows ({approvals} approve, {rows - approvals} not) are {'enough' if passed else 'too few'}:"
        f" at least {min_rows} are required, and at least {MIN_ROWS_PER_CLASS} of each kind.",
        {"test_rows": rows, "approve": approvals, "MIN_TEST_ROWS": min_rows},
        is_estimate=False,
    )


def _data_source_allowed(report: EvaluationReport, rules: GateRules) -> Verdict:
    llm_rows = 0 if rules.allow_llm_data else report.llm_rows
    passed = not (rules.in_production and (report.synthetic_test or report.scripted_rows or llm_rows))
    faults = ["the test rows are synthetic"] if report.synthetic_test else []
    if report.scripted_rows:
        faults.append(f"scripts made the feedback of {report.scripted_rows} rows")
    if llm_rows:
        faults.append(f"a language model made {llm_rows} rows (ALLOW_LLM_DATA)")
    if faults:
        allowed = "Allowed outside" if passed else "Not allowed in"
        reason = f"{allowed} production (ENVIRONMENT): {', and '.join(faults)}."
    elif report.scripted_rows is None:
        reason = "The test rows are real feedback. This report is from before feedback by scripts was counted."
    elif report.llm_rows:
        reason = "The test rows are real feedback by people."
    else:
        reason = "The test rows are real feedback, and people gave all of it."
    if report.llm_rows and not llm_rows:
        reason += f" A language model made {report.llm_rows} train rows, which ALLOW_LLM_DATA allows."
    figures = {
        "data_source": report.data_source,
        "synthetic_test": report.synthetic_test,
        "scripted_rows": report.scripted_rows,
        "llm_rows": report.llm_rows,
    }
    return Verdict("data_source_allowed", passed, reason, figures, is_estimate=False)


def calibrated(report: EvaluationReport) -> Verdict:
    """Whether the probabilities are better than the class frequencies; it only warns."""
    brier, prior = report.candidate.brier, report.prior_brier
    passed = brier < prior
    reason = (
        f"Brier score {brier:.3f} is {'' if passed else 'not '}better than {prior:.3f}, the score of always predicting"
        " the class frequencies."
    )
    return Verdict("calibrated", passed, reason, {"brier": brier, "prior_brier": prior}, warns_only=True)


def plausible(report: EvaluationReport) -> Verdict:
    """Whether F1 is not too good to be true; it only warns."""
    f1 = report.candidate.f1
    passed = f1 <= SUSPICIOUS_F1
    reason = f"F1 {f1:.3f} is {'plausible' if passed else 'suspicious'} (suspicious above {SUSPICIOUS_F1})."
    return Verdict("plausible", passed, reason, {"f1": f1}, warns_only=True)
