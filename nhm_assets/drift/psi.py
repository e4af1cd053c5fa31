"""The population stability index, and the bar that it must pass before it says anything.

PSI compares the shares of two samples over the same bins: the sum of (q - p) ln(q / p). Below 0.1 nothing has moved,
above 0.25 much has. In small samples chance alone passes these bands: without drift, PSI times n m / (n + m) is about
chi-square distributed (Yurdakul & Naranjo, 2020, J. Risk Model Validation 14(4)). So a feature must also pass the PSI
that two samples of these sizes from the same rows seldom reach.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from nhm_assets.domain.drift_records import SOME

FALSE_ALARMS: Final = 0.05
"""Share of weeks without drift in which some feature may pass its bar, over all features together."""
IMPORTANT: Final = 5
"""So many of the most important features share half of the false alarms: what matters most is found soonest."""

_PSEUDO_COUNT: Final = 0.5
"""Added to each bin, so that an empty one does not make PSI infinite."""
_DRAWS: Final = 40_000
_NEAR: Final = 0.75
_SEED: Final = 20260104


def psi(learned: np.ndarray, came: np.ndarray) -> np.ndarray:
    """PSI between counts over the same bins, shape (..., bins). Bins that are empty in both do not count."""
    learned, came = np.asarray(learned, dtype="float64"), np.asarray(came, dtype="float64")
    used = (learned + came) > 0
    p = np.where(used, learned + _PSEUDO_COUNT, 0.0)
    q = np.where(used, came + _PSEUDO_COUNT, 0.0)
    p /= p.sum(axis=-1, keepdims=True)
    q /= q.sum(axis=-1, keepdims=True)
    ratio = np.divide(q, p, out=np.ones_like(q), where=used)
    return ((q - p) * np.log(ratio)).sum(axis=-1)


def bar(learned: Sequence[int], came: int, level: float, *, found: float = 0.0) -> float:
    """The PSI that two samples from the same rows exceed with this probability.

    The chi-square distribution says it at once. Only where that leaves a doubt about what was found, many pairs of
    samples are drawn: in small samples both differ by up to a fifth.

    Args:
        learned: learned values in each bin.
        came: size of the other sample.
        level: the probability, from 0 to 1.
        found: the PSI that is to be judged.
    """
    from scipy.stats import chi2

    used = [count for count in learned if count]
    if len(used) < 2 or not came:
        # Any value in a new bin is news.
        return 0.0
    rows = sum(used)
    quick = float(chi2.isf(level, len(used) - 1)) * (1 / rows + 1 / came)
    if found < SOME or found < _NEAR * quick or found > quick / _NEAR**2:
        return quick
    # Rounded and sorted, since features with ten equal bins share one simulation.
    shares = tuple(sorted(round(count / rows, 2 if rows > 500 else 3) for count in used))
    return float(np.quantile(_null(shares, rows, came), 1 - level))


@lru_cache(maxsize=256)
def _null(shares: tuple[float, ...], rows: int, came: int) -> np.ndarray:
    """PSI of pairs of samples with these shares."""
    p = np.maximum(np.array(shares), 1 / (2 * rows))
    p /= p.sum()
    draw = np.random.default_rng(_SEED)
    return psi(draw.multinomial(rows, p, size=_DRAWS), draw.multinomial(came, p, size=_DRAWS))


def levels(features: Sequence[str], important: Sequence[str]) -> dict[str, float]:
    """How often each feature may pass its bar without drift, so that all together do so in FALSE_ALARMS of weeks.

    Half of it is for the important features, half for the others (a weighted Bonferroni correction).
    """
    first = [name for name in features if name in set(important)]
    others = [name for name in features if name not in set(first)]
    if not first or not others:
        return dict.fromkeys(features, FALSE_ALARMS / max(len(features), 1))
    half = FALSE_ALARMS / 2
    return {name: half / len(first if name in first else others) for name in features}
