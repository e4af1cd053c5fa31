"""Settings under which a check can never fail or never pass, in words that say what to do."""

from collections.abc import Iterator
from dataclasses import dataclass


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
    max_rejected_fraction: float
    max_feedback_age_days: int
    feedback_window_days: int

    @property
    def lowest_f1(self) -> float:
        """The lowest F1 with which a candidate reaches all three thresholds."""
        precision, recall = self.precision_threshold, self.recall_threshold
        implied = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return max(self.f1_threshold, implied)


def remarks_on(limits: Thresholds) -> list[Remark]:
    """What has no effect, or cannot be fulfilled, under these settings."""
    return [*_thresholds(limits), *_f1(limits), *_regression(limits), *_dataset(limits)]


def _thresholds(limits: Thresholds) -> Iterator[Remark]:
    for metric in ("precision", "recall"):
        if getattr(limits, f"{metric}_threshold") == 0:
            name = f"{metric}_threshold"
            yield Remark((name,), f"{name.upper()} is 0, so the check {name} can never fail: set it above 0")


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
    if limits.lowest_f1 + limits.max_f1_regression >= 1:
        yield Remark(
            ("max_f1_regression", "precision_threshold", "recall_threshold", "f1_threshold"),
            f"MAX_F1_REGRESSION {limits.max_f1_regression:g} lets every candidate through that reaches the thresholds"
            f" (F1 {limits.lowest_f1:.3f}), so not_worse_than_production never fails alone: lower it",
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
