"""What a version's figures are before anybody has reviewed its opinions, from its own confidence.

A calibrated confidence is the probability that people approve. So the expected number of true approvals among the plans
that the version calls approve is the sum of their confidences, and so on (CBPE: Kivimäki, Białek, Kuberski & Nurminen,
2025, arXiv:2505.05295). F1 is estimated as the ratio of two expected counts, and its error by the delta method, where
the paper derives the whole distribution. It holds as long as people judge as they did.
"""

from math import sqrt

import numpy as np

from nhm_assets.domain.drift_records import Estimate


def estimate(confidence: np.ndarray, calls: np.ndarray) -> Estimate:
    """The expected figures.

    Args:
        confidence: probability of approve for each plan, from 0 to 1, shape (n,).
        calls: whether the version calls it approve, shape (n,).
    """
    true, called, said = float(confidence[calls].sum()), int(calls.sum()), float(confidence.sum())
    named = called + said
    f1 = 2 * true / named if named > 0 else None
    # Each plan comes out one way or the other: the variance of a ratio of sums (delta method).
    weights = (2 * calls - (f1 or 0.0)) ** 2 * confidence * (1 - confidence)
    error = sqrt(float(weights.sum())) / named if named > 0 else 0.0
    return Estimate(
        plans=len(confidence),
        precision=true / called if called else None,
        recall=true / said if said > 0 else None,
        f1=f1,
        error=error,
    )
