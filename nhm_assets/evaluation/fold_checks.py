"""The checks on more rows than the test has: on the folds, against the reference, and on the champion itself."""

from dataclasses import replace
from statistics import NormalDist

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dagster_names import SERVING_ON_LINE
from nhm_assets.domain.fold_records import Fold, NewRows, Pooled, Reference
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.first_checks import against_foreign
from nhm_assets.evaluation.gate_rules import IMPROBABLE, GateRules
from nhm_assets.evaluation.posteriors import probability_above, probability_sentence

_THRESHOLDS, _NOT_WORSE, _REFERENCE = "thresholds_on_folds", "not_worse_on_folds", "not_worse_than_reference"
_AGAIN = "Materialize evaluation_report again"
_ROUNDING = 1e-12
"""Differences of decimal fractions are not exact in binary: exactly the allowed regression passes."""


def fold_verdicts(report: EvaluationReport, rules: GateRules, failed: list[str]) -> list[Verdict]:
    """The verdicts on the folds and against the reference.

    Args:
        report: with folds, or without if the first checks had failed.
        rules: the settings of the gate.
        failed: names of the first checks that failed.
    """
    checks = (_THRESHOLDS, _NOT_WORSE, _REFERENCE)
    if not rules.gate_folds:
        return [_passed(check, "Not asked: GATE_FOLDS=0.", GATE_FOLDS=0) for check in checks]
    if report.precedes_folds:
        reason = "Not asked: an earlier release made this report, which knew no folds."
        return [_passed(check, reason, schema_version=report.schema_version) for check in checks]
    if report.folds is None or report.pooled is None:
        return [_without_folds(check, rules, failed) for check in checks]
    return [
        _thresholds_on_folds(report.pooled, report.folds, rules),
        _not_worse_on_folds(report, rules),
        _not_worse_than_reference(report.reference, rules),
    ]


def _passed(check: str, reason: str, **figures: object) -> Verdict:
    return Verdict(check, passed=True, reason=reason, figures=figures)


def _without_folds(check: str, rules: GateRules, failed: list[str]) -> Verdict:
    # Where others failed, this is only a warning: they hold the candidate, and this one has nothing to add.
    cause = f"{', '.join(failed)} failed, so no folds were fitted"
    reason = f"Not decided: {cause if failed else f'the report has no folds. {_AGAIN}'}."
    figures = {"GATE_FOLDS": rules.gate_folds}
    return Verdict(check, passed=False, reason=reason, figures=figures, warns_only=bool(failed))


def threshold_probabilities(counts: Pooled, rules: GateRules) -> dict[str, float]:
    """The probability that precision is above its threshold, and that recall is above its own."""
    return {
        "precision": probability_above(counts.tp, counts.fp, rules.precision_threshold),
        "recall": probability_above(counts.tp, counts.fn, rules.recall_threshold),
    }


def _thresholds_on_folds(counts: Pooled, folds: list[Fold], rules: GateRules) -> Verdict:
    required, thresholds = rules.gate_confidence, _thresholds(rules)
    probabilities = threshold_probabilities(counts, rules)
    rates = ", ".join(probability_sentence(name, thresholds[name], value) for name, value in probabilities.items())
    unsure = [name for name, value in probabilities.items() if value < required]
    faults = [f"the probability of {name} is below the required {required:.3f}" for name in unsure]
    if counts.f1 < rules.f1_threshold:
        faults.append(f"F1 {counts.f1:.3f} is below the required {rules.f1_threshold:.3f}")
    verdict = f"Not sure enough: {' and '.join(faults)}." if faults else "Sure enough."
    used = [fold.number for fold in folds if not fold.left_out]
    over = f"{counts.rows} rows of the test and of {_listed(used)}" if used else f"{counts.rows} test rows"
    left_out = "".join(f" Fold {fold.number} is left out: {fold.left_out}." for fold in folds if fold.left_out)
    reason = f"{verdict} Over {over}, {rates}, and F1 is {counts.f1:.3f}.{left_out}"
    figures = {
        "rows": counts.rows,
        **{f"probability_of_{name}": value for name, value in probabilities.items()},
        "f1": counts.f1,
        "GATE_CONFIDENCE": required,
    }
    return Verdict(_THRESHOLDS, not faults, reason, figures)


def _thresholds(rules: GateRules) -> dict[str, float]:
    return {"precision": rules.precision_threshold, "recall": rules.recall_threshold}


def _listed(folds: list[int]) -> str:
    return f"fold{'s' if len(folds) > 1 else ''} {' and '.join(map(str, folds))}"


def _not_worse_on_folds(report: EvaluationReport, rules: GateRules) -> Verdict:
    if verdict := against_foreign(report, rules.foreign_champion, _NOT_WORSE):
        return verdict
    champion, difference, error = report.champion, report.difference, report.standard_error
    if champion is None:
        return _passed(_NOT_WORSE, "There is no champion to compare with.", f1=report.candidate.f1)
    if difference is None or error is None:
        return _nothing_to_compare(champion.version, report.new_rows)
    limit, margin = difference, f"the allowed {rules.max_f1_regression:.3f}"
    if report.in_mid_week:
        limit -= NormalDist().inv_cdf(rules.gate_midweek_confidence) * error
        margin += f" with a probability of {rules.gate_midweek_confidence:.2f}, as the week has not closed"
    passed = limit >= -rules.max_f1_regression - _ROUNDING
    rows = "test rows" if report.compared_on == "test" else "rows that it has not learned"
    reason = (
        f"F1 is {_signed(difference)} the champion's (version {champion.version}) on {report.fair_rows} {rows},"
        f" standard error {error:.3f}: {'not below' if passed else 'below'} it by more than {margin}."
        f"{_learned_note(report.new_rows)}"
    )
    figures = {
        "difference": difference,
        "standard_error": error,
        "lower_limit": limit,
        "rows": report.fair_rows,
        "MAX_F1_REGRESSION": rules.max_f1_regression,
    }
    return Verdict(_NOT_WORSE, passed, reason, figures)


def _nothing_to_compare(version: str, new_rows: NewRows | None) -> Verdict:
    """Only a candidate of an older window has too few rows that are new to the champion."""
    superseded = new_rows is not None and new_rows.newer_window
    reason = f"Too few rows are new to the champion (version {version}) to compare."
    if superseded:
        reason += " It learned from a newer window, so the candidate is superseded anyway."
    return Verdict(_NOT_WORSE, superseded, reason, {"production_version": version})


def _learned_note(new_rows: NewRows | None) -> str:
    if new_rows is None or new_rows.learned_by == "dataset":
        return ""
    if new_rows.learned_by == "tag":
        return " The champion's dataset cannot be read any more, so plans that it learned are only known by their time."
    if new_rows.learned_by == "window":
        return " The champion has no tag nhm.learned_until, so all rows of its window count as learned."
    return " The champion has no tag nhm.learned_until and no window, so all test rows count as new to it."


def _signed(difference: float) -> str:
    return f"{abs(difference):.3f} {'below' if difference < 0 else 'above'}"


def _not_worse_than_reference(reference: Reference | None, rules: GateRules) -> Verdict:
    allowed = rules.max_f1_regression_to_reference
    if not rules.reference_weeks:
        return _passed(_REFERENCE, "Not asked: REFERENCE_WEEKS=0.", REFERENCE_WEEKS=0)
    if reference is None:
        reason, weeks = f"Not decided: the report names no reference. {_AGAIN}.", rules.reference_weeks
        return Verdict(_REFERENCE, passed=False, reason=reason, figures={"REFERENCE_WEEKS": weeks})
    if reference.difference is None:
        reason = f"Nothing to compare: {reference.reason}."
        return _passed(_REFERENCE, reason, REFERENCE_WEEKS=reference.weeks, version=reference.version)
    passed = reference.difference >= -allowed - _ROUNDING
    reason = (
        f"F1 is {_signed(reference.difference)} that of version {reference.version}, the reference of"
        f" {reference.weeks} weeks before, on {reference.rows} rows: {'not below' if passed else 'below'} it by more"
        f" than the allowed {allowed:.3f}."
    )
    figures = {
        "REFERENCE_WEEKS": reference.weeks,
        "version": reference.version,
        "difference": reference.difference,
        "MAX_F1_REGRESSION_TO_REFERENCE": allowed,
    }
    return Verdict(_REFERENCE, passed, reason, figures)


def serving_on_line(report: EvaluationReport, rules: GateRules) -> Verdict:
    """Whether what serves now still reaches the thresholds. It only warns: the candidate is not to blame.

    No number of rows is required: after few rows, hardly any rate is improbable.
    """
    version, new_rows = report.compared_with, report.new_rows
    if new_rows is None:
        return replace(_passed(SERVING_ON_LINE, "No champion was asked.", version=version), warns_only=True)
    counts, serves = new_rows.pooled, f"What serves (version {version})"
    if not counts.rows:
        reason = f"{serves} was asked about no row that is new to it."
        return replace(_passed(SERVING_ON_LINE, reason, version=version, rows=0), warns_only=True)
    probabilities = threshold_probabilities(counts, rules)
    sunk = [name for name, value in probabilities.items() if value < IMPROBABLE]
    rates = " and ".join(
        probability_sentence(name, _thresholds(rules)[name], value) for name, value in probabilities.items()
    )
    state = f"has sunk below the line ({', '.join(sunk)})" if sunk else "is not below the line"
    reason = f"{serves} {state}: on {counts.rows} rows that it has not learned, {rates}."
    figures = {
        "version": version,
        **{f"probability_of_{name}": value for name, value in probabilities.items()},
        "rows": counts.rows,
        "champion_f1": counts.f1,
    }
    return Verdict(SERVING_ON_LINE, not sunk, reason, figures, warns_only=True)
