"""The flip rate: how often the gate would have decided otherwise, had other plans been reviewed."""

from collections.abc import Callable
from typing import Final

import numpy as np

from nhm_assets.evaluation.resampling import PlanSums

RESAMPLES: Final = 200
_SEED: Final = 42


def flip_rate(sums: PlanSums, passes: Callable[[np.ndarray], np.ndarray]) -> float:
    """The share of 200 bootstrap samples of the plans on which the whole gate decides otherwise than on the plans.

    0 is a decision that does not depend on which plans were reviewed, 0.5 is a coin toss. It is seeded, and its
    Monte Carlo error is at most sqrt(0.25 / 200) = 0.035.

    Args:
        sums: of the plans that the gate has judged.
        passes: the gate: sums of samples, shape (samples, columns), to a mask of the samples that pass.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap.
    """
    decided = passes(sums.total[None, :])[0]
    return float((passes(sums.resampled(np.random.default_rng(_SEED), RESAMPLES)) != decided).mean())
