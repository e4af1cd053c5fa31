"""What would settle it: how many further reviewed plans let the gate decide about a candidate that is uncertain."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from nhm_assets.domain.records import Settling
from nhm_assets.evaluation.resampling import PlanSums

CHANCE: Final = 0.8
"""Probability with which the further plans should settle it."""
MOST_PLANS: Final = 20_000
_SAMPLES: Final = 100
_SEED: Final = 42
_FIRST: Final = 10
_PRECISION: Final = 1.1
"""The search ends when the number is known within this factor."""

Judge = Callable[[np.ndarray], "tuple[np.ndarray, np.ndarray]"]
"""Sums of samples, shape (samples, columns), to two masks of samples: the candidate passes, it is `below`."""


def settling(sums: PlanSums, judge: Judge, *, approve: float, not_approve: float) -> Settling:
    """The number of further reviewed plans after which the candidate would pass or be `below`, with probability 0.8.

    The calculation. Let U be the m plans that the gate has judged, and let the gate judge U together with N more
    plans. The N plans are drawn from those of U with replacement, 100 times, so rows of a plan stay together:

        P(N) = share of the 100 draws on which the gate's decision on U + N plans is `pass` or `below`
        answer = the smallest N in 10, 20, 40, ... with P(N) >= 0.8, refined by bisection to within 10 %

    P has a Monte Carlo error of sqrt(0.8 x 0.2 / 100) = 0.04.

    The assumptions. Further plans are like those of U: the same rates of the candidate and of the champion, the same
    share of approve, as many opinions per plan. The true rates are those observed. U keeps its rows; in truth old
    rows leave the window while new ones arrive, and next week's candidate is another one. So the number says how
    close to the line the candidate is, in work for reviewers, and is no forecast.

    Args:
        sums: of the plans of U.
        judge: the gate's decision on sums.
        approve: opinions of U that are labelled approve. Their share gives the two classes of the answer.
        not_approve: the other opinions of U.

    Returns:
        The answer; without a number if 20,000 plans do not settle it: the candidate is on the line.
    """
    plans = len(sums.sums)
    found = _search(lambda number: _chances(sums, judge, number))
    if found is None or not plans:
        return Settling(plans=None, approve=None, not_approve=None, passes=None, below=None)
    number, (passes, below) = found
    return Settling(
        plans=number,
        approve=math.ceil(number * approve / plans),
        not_approve=math.ceil(number * not_approve / plans),
        passes=passes,
        below=below,
    )


def _chances(sums: PlanSums, judge: Judge, number: int) -> tuple[float, float]:
    """Probabilities that the candidate passes, and that it is below, after so many further plans."""
    further = sums.further(np.random.default_rng((_SEED, number)), _SAMPLES, number)
    passes, below = judge(sums.total + further)
    return float(passes.mean()), float(below.mean())


def _search(chances: Callable[[int], tuple[float, float]]) -> tuple[int, tuple[float, float]] | None:
    """The smallest number that settles it, with its chances; None if MOST_PLANS do not."""
    low, high = 0, _FIRST
    while sum(found := chances(high)) < CHANCE:
        if high >= MOST_PLANS:
            return None
        low, high = high, min(2 * high, MOST_PLANS)
    while high > max(low, 1) * _PRECISION and high - low > 1:
        middle = (low + high) // 2
        if sum(nearer := chances(middle)) >= CHANCE:
            high, found = middle, nearer
        else:
            low = middle
    return high, found
