"""The gate: one pure function. A report and the settings go in, one verdict per rule comes out.

The first checks look at the test rows alone. The checks on folds look at more rows, and ask how sure the answer is.
"""

from typing import Final

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.outcomes import GATE_CHECKS
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.first_checks import SUSPICIOUS_F1, calibrated, first_verdicts, plausible
from nhm_assets.evaluation.fold_checks import fold_verdicts, serving_on_line
from nhm_assets.evaluation.gate_rules import IMPROBABLE, MIN_ROWS_PER_CLASS, GateRules
from nhm_assets.evaluation.shadow_check import agrees_in_shadow

__all__ = ["DESCRIPTIONS", "GateRules", "failed_gate", "failed_verdicts", "is_complete", "judge", "needs_folds"]

DESCRIPTIONS: Final = {
    "precision_threshold": "Gate: precision of approve on the test rows reaches PRECISION_THRESHOLD.",
    "recall_threshold": "Gate: recall of approve on the test rows reaches RECALL_THRESHOLD.",
    "f1_threshold": "Gate: F1 of approve on the test rows reaches F1_THRESHOLD.",
    "not_worse_than_production": "Gate: F1 is at most MAX_F1_REGRESSION below that of the champion (the version in"
    " Production) on the same rows; test rows that the champion has learned are left out. A foreign champion is treated"
    " as FOREIGN_CHAMPION says.",
    "beats_baseline": "Gate: F1 is above that of two dummy classifiers that ignore the features.",
    "enough_evidence": f"Gate: there are at least MIN_TEST_ROWS test rows; at least {MIN_ROWS_PER_CLASS} are approve"
    f" and {MIN_ROWS_PER_CLASS} are not.",
    "data_source_allowed": "Gate: in production, the test rows are real feedback, and neither scripts nor, unless"
    " ALLOW_LLM_DATA is set, a language model made any of the rows.",
    "thresholds_on_folds": "Gate: over the test rows and GATE_FOLDS folds, precision and recall are above their"
    " thresholds with a probability of at least GATE_CONFIDENCE each, and F1 reaches F1_THRESHOLD.",
    "not_worse_on_folds": "Gate: over those of these rows that the champion has not learned, F1 is at most"
    " MAX_F1_REGRESSION below the champion's; before the week has closed, with a probability of at least"
    " GATE_MIDWEEK_CONFIDENCE.",
    "not_worse_than_reference": "Gate: over these rows, F1 is at most MAX_F1_REGRESSION_TO_REFERENCE below that of the"
    " version that was in Production REFERENCE_WEEKS before.",
    "calibrated": "The Brier score is better than that of always predicting the class frequencies.",
    "plausible": f"F1 is at most {SUSPICIOUS_F1}. A higher F1 is suspicious: a feature probably reveals the label.",
    "serving_on_line": "The champion itself still reaches PRECISION_THRESHOLD and RECALL_THRESHOLD on the rows that it"
    f" has not learned, with a probability of at least {IMPROBABLE} each.",
    "agrees_in_shadow": "Candidate and champion agree on SHADOW_AGREEMENT of the plans that came in since the champion"
    " was promoted: the same class, and on the same side of 0.8 confidence. No labels are needed.",
}


def judge(report: EvaluationReport, rules: GateRules) -> list[Verdict]:
    """One verdict per rule, in the order of `DESCRIPTIONS`. The rules in `GATE_CHECKS` decide the promotion."""
    first = first_verdicts(report, rules)
    failed = [verdict.check for verdict in first if not verdict.passed]
    return [
        *first,
        *fold_verdicts(report, rules, failed),
        calibrated(report),
        plausible(report),
        serving_on_line(report, rules),
        agrees_in_shadow(report.shadow, rules.shadow_agreement),
    ]


def needs_folds(report: EvaluationReport, rules: GateRules) -> bool:
    """Whether the folds are worth their cost: the settings want them, and no first check holds the candidate."""
    return rules.gate_folds > 0 and all(verdict.passed for verdict in first_verdicts(report, rules))


def is_complete(report: EvaluationReport, rules: GateRules) -> bool:
    """Whether a recorded report answers every question that the rules ask now."""
    if not needs_folds(report, rules):
        return True
    weeks = report.reference.weeks if report.reference else 0
    has_folds = report.folds is not None and len(report.folds) == rules.gate_folds
    return has_folds and rules.reference_weeks in (0, weeks) and _compares_enough(report, rules.min_test_rows)


def _compares_enough(report: EvaluationReport, min_rows: int) -> bool:
    """Whether MIN_TEST_ROWS chooses the rows now that the candidate and the champion were compared on."""
    new, rows = report.new_rows, report.fair_rows
    if new is None or rows is None:
        return True
    if report.compared_on == "new":
        return rows >= min_rows
    # Rows of a fold that is left out are new to the champion, too, but are not compared.
    return new.pooled.rows < min_rows or any(fold.left_out for fold in report.folds or ())


def failed_gate(verdicts: list[Verdict]) -> list[str]:
    """Names of the gate checks that failed; empty if the candidate passes the gate."""
    return [verdict.check for verdict in failed_verdicts(verdicts)]


def failed_verdicts(verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts that hold the candidate.

    A check that is not decided is not among them: the failed ones are the reason for that.
    """
    return [
        verdict
        for verdict in verdicts
        if verdict.check in GATE_CHECKS and not verdict.passed and not verdict.warns_only
    ]
