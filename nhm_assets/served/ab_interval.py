"""Differences of two versions, with intervals that hold at every look, however often one looks.

The interval is an asymptotic confidence sequence: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central
limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), 2024 (arXiv:2103.06476), Theorem 2.2 and,
for estimators that are asymptotically linear, section 3. After t plans, with influences of standard deviation s,

    estimate +- s sqrt(2 (t r^2 + 1) / (t^2 r^2) log(sqrt(t r^2 + 1) / a))

contains the true difference at all times t together with a probability of about 1 - a. r says at which t the interval
is narrowest (their equation 9). The influence of a plan on the AUC is what its placement among the plans of the other
kind says (DeLong, DeLong & Clarke-Pearson, 1988, Biometrics 44).
"""

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

import numpy as np

from nhm_assets.domain.ab_records import Difference
from nhm_assets.domain.served_records import UNATTENDED

ALPHA: Final = 0.05
"""Probability that a test of two equal versions ever ends with a difference."""
_PER_FIGURE: Final = ALPHA / 2
"""There are two figures, AUC and precision, and either may end a test (Bonferroni)."""
_NARROWEST_AT: Final = 500
"""Reviewed plans at which the interval is narrowest, compared with one for that number alone."""
FEWEST: Final = 20
"""Plans that people approved, that they did not, and with a confidence of 0.8, without which nothing is compared."""


@dataclass(frozen=True)
class _Estimate:
    """A figure, and how much each plan pulls it, shape (n,); the mean is 0."""

    value: float
    influence: np.ndarray


def paired(
    champion: np.ndarray, challenger: np.ndarray, approved: np.ndarray
) -> tuple[Difference | None, Difference | None]:
    """The differences of AUC and of precision from 0.8 on, of two versions that answered the same plans.

    Args:
        champion: its confidence, shape (n,).
        challenger: likewise, of the same plans.
        approved: whether people approved the plan, shape (n,).

    Returns:
        Each is None if there are too few plans.
    """
    return (
        _paired(_auc(champion, approved), _auc(challenger, approved)),
        _paired(_precision(champion, approved), _precision(challenger, approved), doubt=_doubt(champion, challenger)),
    )


def apart(
    champion: np.ndarray, champion_approved: np.ndarray, challenger: np.ndarray, challenger_approved: np.ndarray
) -> tuple[Difference | None, Difference | None]:
    """The same, of two versions that answered different plans.

    Args:
        champion: its confidence, shape (n,).
        champion_approved: whether people approved these plans, shape (n,).
        challenger: its confidence, shape (m,).
        challenger_approved: likewise, shape (m,).
    """
    doubt = _doubt(champion, challenger)
    return (
        _apart(_auc(champion, champion_approved), _auc(challenger, challenger_approved)),
        _apart(_precision(champion, champion_approved), _precision(challenger, challenger_approved), doubt=doubt),
    )


def half_width(variance: float, plans: int, alpha: float = _PER_FIGURE) -> float:
    """Half of the width of the interval.

    Args:
        variance: of the influences of single plans.
        plans: how many have been counted, at least one.
        alpha: probability that the interval misses the truth at some time.
    """
    narrow = -2 * log(alpha)
    rho2 = (narrow + log(narrow + 1)) / _NARROWEST_AT
    grown = plans * rho2 + 1
    return sqrt(2 * variance * grown / (plans**2 * rho2) * log(sqrt(grown) / alpha))


def _paired(champion: _Estimate | None, challenger: _Estimate | None, doubt: float = 0.0) -> Difference | None:
    if champion is None or challenger is None:
        return None
    return _difference(champion.value, challenger.value, challenger.influence - champion.influence, doubt)


def _apart(champion: _Estimate | None, challenger: _Estimate | None, doubt: float = 0.0) -> Difference | None:
    if champion is None or challenger is None:
        return None
    a, b = champion.influence, challenger.influence
    plans = len(a) + len(b)
    # Among all plans, those of one variant pull its figure the more, the fewer they are.
    pulls = np.concatenate([-a * (plans / len(a)), b * (plans / len(b))])
    return _difference(champion.value, challenger.value, pulls, doubt)


def _difference(champion: float, challenger: float, influence: np.ndarray, doubt: float) -> Difference:
    plans = len(influence)
    half = half_width(float(np.mean(influence**2)) + doubt * plans, plans)
    value = challenger - champion
    return Difference(champion=champion, challenger=challenger, low=value - half, high=value + half)


def _auc(confidence: np.ndarray, approved: np.ndarray) -> _Estimate | None:
    yes, no = confidence[approved], confidence[~approved]
    if min(len(yes), len(no)) < FEWEST:
        return None
    below, above = _placements(yes, no), 1 - _placements(no, yes)
    value = float(below.mean())
    influence = np.empty(len(confidence))
    influence[approved] = (below - value) * (len(confidence) / len(yes))
    influence[~approved] = (above - value) * (len(confidence) / len(no))
    return _Estimate(value, influence)


def _placements(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of the others that is below each value; equal ones count half."""
    ranked = np.sort(others)
    left, right = np.searchsorted(ranked, values, side="left"), np.searchsorted(ranked, values, side="right")
    return (left + right) / (2 * len(others))


def _precision(confidence: np.ndarray, approved: np.ndarray) -> _Estimate | None:
    unattended = confidence >= UNATTENDED
    count = int(unattended.sum())
    if count < FEWEST:
        return None
    value = float(approved[unattended].mean())
    return _Estimate(value, unattended * (approved - value) * (len(confidence) / count))


def _doubt(champion: np.ndarray, challenger: np.ndarray) -> float:
    """Variance of the difference of precisions that two more plans of each version would add, one of them approved.

    Without it, two versions that were never wrong would look sure (Agresti & Caffo, 2000, American Statistician 54).
    """
    counts = [max(int((one >= UNATTENDED).sum()), 1) for one in (champion, challenger)]
    return sum(2 * 0.25 / count**2 for count in counts)
