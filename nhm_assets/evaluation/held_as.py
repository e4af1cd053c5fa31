"""The third verdict: whether a held candidate is below the line, or the rows allow both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.outcomes import HeldAs
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.first_checks import against_foreign
from nhm_assets.evaluation.fold_checks import threshold_probabilities
from nhm_assets.evaluation.gate import GateRules, failed_verdicts, judge
from nhm_assets.evaluation.gate_rules import IMPROBABLE
from nhm_assets.evaluation.posteriors import counts_of, probability_sentence

_Z: Final = 1.645
"""Standard errors that a difference exceeds by chance in 5 % of cases (one-sided, normal distribution)."""


@dataclass(frozen=True)
class Estimates:
    """What the pooled rows say of a candidate.

    Attributes:
        posteriors: of precision and recall: metric -> probability that its true value reaches the threshold.
        thresholds: metric -> the threshold.
        difference: F1 of the candidate minus F1 of the champion, on rows that neither learned; None if not compared.
        standard_error: of the difference.
        max_regression: MAX_F1_REGRESSION.
    """

    posteriors: Mapping[str, float]
    thresholds: Mapping[str, float]
    difference: float | None
    standard_error: float
    max_regression: float


@dataclass(frozen=True)
class ThirdVerdict:
    """How a candidate is held, and the sentence with the figures that say so."""

    held_as: HeldAs
    sentence: str


def estimates_of(report: EvaluationReport, rules: GateRules) -> Estimates:
    """What the report says of its candidate; without folds, the test rows alone."""
    counts = report.pooled or counts_of(report.candidate.confusion)
    compares = against_foreign(report, rules.foreign_champion, "") is None
    return Estimates(
        posteriors=threshold_probabilities(counts, rules),
        thresholds={"precision": rules.precision_threshold, "recall": rules.recall_threshold},
        difference=report.difference if compares else None,
        standard_error=report.standard_error or 0.0,
        max_regression=rules.max_f1_regression,
    )


def held_as(report: EvaluationReport, rules: GateRules) -> HeldAs | None:
    """How the gate holds the candidate of a report; None if it passes."""
    failed = failed_verdicts(judge(report, rules))
    return third_verdict(estimates_of(report, rules), failed).held_as if failed else None


def third_verdict(estimates: Estimates, failed: Sequence[Verdict]) -> ThirdVerdict:
    """Judge a held candidate.

    It is `below` if a posterior is below 0.05, if the difference to the champion is below the allowed regression by
    more than 1.645 standard errors, or if a check failed that is no estimate. Otherwise it is `uncertain`.

    Args:
        estimates: what the pooled rows say.
        failed: the gate checks that failed.
    """
    if reasons := [*_sunk_rates(estimates), *_sunk_difference(estimates), *_exact(failed)]:
        return ThirdVerdict(HeldAs.BELOW, "; ".join(reasons))
    known = [_probability(estimates, metric) for metric in estimates.posteriors]
    if estimates.difference is not None:
        known.append(f"F1 is {_against_champion(estimates)}")
    return ThirdVerdict(
        HeldAs.UNCERTAIN,
        f"the rows allow both; next week decides ({'; '.join(known) or 'no estimates'})",
    )


def _sunk_rates(estimates: Estimates) -> list[str]:
    return [
        _probability(estimates, metric) for metric, posterior in estimates.posteriors.items() if posterior < IMPROBABLE
    ]


def _probability(estimates: Estimates, metric: str) -> str:
    return probability_sentence(metric, estimates.thresholds[metric], estimates.posteriors[metric])


def _sunk_difference(estimates: Estimates) -> list[str]:
    if estimates.difference is None:
        return []
    if not estimates.difference + _Z * estimates.standard_error < -estimates.max_regression:
        return []
    allowed = f"clearly more than the allowed {estimates.max_regression:.3f}"
    return [f"F1 is {_against_champion(estimates)}, {allowed}"]


def _exact(failed: Sequence[Verdict]) -> list[str]:
    return [f"{verdict.check} failed, which is not an estimate" for verdict in failed if not verdict.is_estimate]


def _against_champion(estimates: Estimates) -> str:
    difference = estimates.difference or 0.0
    side = "above" if difference >= 0 else "below"
    return f"{abs(difference):.3f} {side} the champion's (standard error {estimates.standard_error:.3f})"
