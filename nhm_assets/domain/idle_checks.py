"""Settings under which a check can never fail or never pass, in words that say what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nhm_assets.domain.specialists import Specialist

_LISTED: Final = 5
"""With more specialists than this, a sentence does not name them all."""


@dataclass(frozen=True)
class Remark:
    """One such setting.

    Attributes:
        settings: names of the fields that together have this effect.
        sentence: the effect, and what to do.
    """

    settings: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class Thresholds:
    """The settings of checks that can be set so that the check has no effect; fields are named like the settings."""

    precision_threshold: float
    recall_threshold: float
    f1_threshold: float
    max_f1_regression: float
    max_f1_regression_to_reference: float
    gate_folds: int
    gate_confidence: float
    reference_weeks: int
    keep_versions: int
    shadow_plans: int
    shadow_agreement: float
    max_rejected_fraction: float
    max_feedback_age_days: int
    feedback_window_days: int
    served_fallback_share: float

    @property
    def lowest_f1(self) -> float:
        """The lowest F1 with which a candidate reaches all three thresholds."""
        precision, recall = self.precision_threshold, self.recall_threshold
        implied = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return max(self.f1_threshold, implied)


def remarks_on(limits: Thresholds) -> list[Remark]:
    """What has no effect, or cannot be fulfilled, under these settings."""
    kinds = (_thresholds, _confidence, _f1, _regression, _reference, _shadow, _dataset, _served)
    return [remark for kind in kinds for remark in kind(limits)]


def remarks_on_own(limits: Thresholds, specialists: Sequence[Specialist]) -> Iterator[Remark]:
    """The same for the thresholds that specialists have of their own, without what is so for all of them."""
    alike: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for specialist in specialists:
        alike.setdefault(tuple(sorted(specialist.thresholds.items())), []).append(str(specialist))
    common = remarks_on(limits)
    for own, names in alike.items():
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        whose = f"With the thresholds of {', '.join(names[:_LISTED])}{more} in SPECIALISTS_FILE"
        changes: dict[str, Any] = {f"{name}_threshold": value for name, value in own}
        for remark in remarks_on(replace(limits, **changes)):
            if remark not in common:
                yield Remark(("specialists_file", *remark.settings), f"{whose}, {remark.sentence}")


def _thresholds(limits: Thresholds) -> Iterator[Remark]:
    for name in ("precision_threshold", "recall_threshold"):
        threshold = getattr(limits, name)
        if threshold == 0:
            yield Remark((name,), f"{name.upper()} is 0, so the check {name} can never fail: set it above 0")
        if threshold == 1 and limits.gate_folds and limits.gate_confidence:
            yield Remark(
                (name, "gate_folds", "gate_confidence"),
                f"{name.upper()} is 1, so the check thresholds_on_folds can never pass and nothing is promoted: no"
                " number of rows shows that a model is never wrong. Set it below 1",
            )


def _confidence(limits: Thresholds) -> Iterator[Remark]:
    if not limits.gate_folds:
        return
    names = ("gate_confidence", "gate_folds")
    if limits.gate_confidence == 0:
        yield Remark(names, "GATE_CONFIDENCE is 0, so only F1 can fail thresholds_on_folds: set it to 0.5 or more")
    if limits.gate_confidence == 1:
        yield Remark(
            names,
            "GATE_CONFIDENCE is 1, so the check thresholds_on_folds can never pass and nothing is promoted: no number"
            " of rows makes it certain. Set it below 1",
        )


def _f1(limits: Thresholds) -> Iterator[Remark]:
    threshold, lowest = limits.f1_threshold, limits.lowest_f1
    if threshold < lowest:
        yield Remark(
            ("precision_threshold", "recall_threshold", "f1_threshold"),
            f"F1_THRESHOLD {threshold:g} decides nothing: PRECISION_THRESHOLD {limits.precision_threshold:g} and"
            f" RECALL_THRESHOLD {limits.recall_threshold:g} imply an F1 of at least {lowest:.3f}, so f1_threshold never"
            f" fails alone. This does no harm; to require more, set it above {lowest:.3f}",
        )


def _regression(limits: Thresholds) -> Iterator[Remark]:
    checks = {"max_f1_regression": "not_worse_than_production and not_worse_on_folds never fail"}
    if limits.gate_folds and limits.reference_weeks:
        checks["max_f1_regression_to_reference"] = "not_worse_than_reference never fails"
    for name, effect in checks.items():
        allowed = getattr(limits, name)
        if limits.lowest_f1 + allowed >= 1:
            yield Remark(
                (name, "precision_threshold", "recall_threshold", "f1_threshold"),
                f"{name.upper()} {allowed:g} lets every candidate through that reaches the thresholds"
                f" (F1 {limits.lowest_f1:.3f}), so {effect} alone: lower it",
            )


def _reference(limits: Thresholds) -> Iterator[Remark]:
    if limits.gate_folds and limits.keep_versions < limits.reference_weeks:
        yield Remark(
            ("keep_versions", "reference_weeks", "gate_folds"),
            f"KEEP_VERSIONS {limits.keep_versions} is below REFERENCE_WEEKS {limits.reference_weeks}: of a specialist"
            " that gets a version each week, the reference has lost its files, so not_worse_than_reference never fails."
            " Raise KEEP_VERSIONS",
        )


def _shadow(limits: Thresholds) -> Iterator[Remark]:
    if limits.shadow_plans and limits.shadow_agreement == 0:
        yield Remark(
            ("shadow_agreement", "shadow_plans"),
            "SHADOW_AGREEMENT is 0, so agrees_in_shadow warns of no candidate, however differently it answers: set it"
            " above 0",
        )


def _dataset(limits: Thresholds) -> Iterator[Remark]:
    if limits.max_rejected_fraction >= 1:
        yield Remark(
            ("max_rejected_fraction",),
            "MAX_REJECTED_FRACTION is 1, so the check few_rejected_documents can never fail: set it below 1",
        )
    if limits.max_feedback_age_days >= limits.feedback_window_days:
        yield Remark(
            ("max_feedback_age_days", "feedback_window_days"),
            f"MAX_FEEDBACK_AGE_DAYS {limits.max_feedback_age_days} is not below FEEDBACK_WINDOW_DAYS"
            f" {limits.feedback_window_days}, so the check feedback_fresh can only fail without any feedback: lower it",
        )


def _served(limits: Thresholds) -> Iterator[Remark]:
    if limits.served_fallback_share >= 1:
        yield Remark(
            ("served_fallback_share",),
            "SERVED_FALLBACK_SHARE is 1, so model_answers never warns of fallbacks: set it below 1",
        )
