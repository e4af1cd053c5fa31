"""What counts say of a rate, and what paired calls say of a difference in F1.

Sources: Brown, Cai & DasGupta (2001), Interval Estimation for a Binomial Proportion (the Jeffreys prior). Goutte &
Gaussier (2005), A Probabilistic Interpretation of Precision, Recall and F-Score.
"""

from dataclasses import dataclass

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.fold_records import Pooled, Posterior

_TAIL = 0.05
_JEFFREYS = 0.5
_SMALLEST_SHOWN = 0.001

Calls = np.ndarray
"""Whether each row is approve: by its label, or as a model calls it; shape (n,), boolean."""


def probability_above(hits: int, misses: int, threshold: float) -> float:
    """The probability that a rate is above a threshold, after this many hits and misses: 1 - I_t(h + 1/2, m + 1/2)."""
    from scipy.special import betaincc

    return float(betaincc(hits + _JEFFREYS, misses + _JEFFREYS, threshold))


def probability_sentence(rate: str, threshold: float, probability: float) -> str:
    """The probability that a rate reaches its threshold, in words. No probability is shown as 0 or 1."""
    shown = f"{probability:.3f}"
    if probability < _SMALLEST_SHOWN:
        shown = f"below {_SMALLEST_SHOWN}"
    elif probability > 1 - _SMALLEST_SHOWN:
        shown = f"above {1 - _SMALLEST_SHOWN}"
    return f"the probability that {rate} reaches {threshold:.3f} is {shown}"


def posterior(hits: int, misses: int) -> Posterior:
    """The Jeffreys posterior of a rate."""
    from scipy.special import betaincinv

    a, b = hits + _JEFFREYS, misses + _JEFFREYS
    low, high = (float(betaincinv(a, b, tail)) for tail in (_TAIL, 1 - _TAIL))
    return Posterior(a=a, b=b, low=low, high=high)


def count_calls(labels: Calls, calls: Calls) -> Pooled:
    """The counts of a model's calls, with the posteriors of its precision and recall."""
    tp, fp = int((labels & calls).sum()), int((~labels & calls).sum())
    fn, tn = int((labels & ~calls).sum()), int((~labels & ~calls).sum())
    return Pooled(tp=tp, fp=fp, fn=fn, tn=tn, precision=posterior(tp, fp), recall=posterior(tp, fn))


def counts_of(confusion: list[list[int]]) -> Pooled:
    """The counts of approve and not approve in a confusion matrix of all classes, without posteriors."""
    matrix = np.array(confusion)
    tp, labelled, called = int(matrix[APPROVE, APPROVE]), int(matrix[APPROVE].sum()), int(matrix[:, APPROVE].sum())
    return Pooled(tp=tp, fp=called - tp, fn=labelled - tp, tn=int(matrix.sum()) - labelled - called + tp)


@dataclass(frozen=True)
class Difference:
    """How much better one model's F1 of approve is than another's on the same rows, and how sure that is."""

    rows: int
    difference: float
    standard_error: float


def f1_difference(labels: Calls, first: Calls, second: Calls) -> Difference:
    """F1 of the first model minus F1 of the second.

    The standard error is that of the paired bootstrap over rows, in the limit of many resamples: F1 is a ratio of sums,
    and each row's share in its error is linear in that row. See Efron & Tibshirani (1993), chapter 21.
    """
    first_f1, first_shares = _f1_with_shares(labels, first)
    second_f1, second_shares = _f1_with_shares(labels, second)
    error = float(np.sqrt(((first_shares - second_shares) ** 2).sum()))
    return Difference(len(labels), first_f1 - second_f1, error)


def _f1_with_shares(labels: Calls, calls: Calls) -> tuple[float, np.ndarray]:
    """F1, and each row's share in its error: (2yc - F1(y + c)) / sum(y + c)."""
    hits, named = 2.0 * (labels & calls), labels.astype("float64") + calls
    total = named.sum()
    if not total:
        return 0.0, np.zeros(len(labels))
    f1 = float(hits.sum() / total)
    return f1, (hits - f1 * named) / total
