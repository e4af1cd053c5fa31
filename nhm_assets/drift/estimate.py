"""What a version's figures are before anybody has reviewed its opinions, from its own confidence.

A calibrated confidence is the probability that people approve. So the expected number of true approvals among the plans
that the version calls approve is the sum of their confidences, and so on (confidence-based performance estimation:
Kivimäki, Białek, Kuberski & Nurminen, 2024, arXiv:2407.08649). It holds as long as people judge as they did.
"""

from math import sqrt

import numpy as np

from nhm_assets.domain.drift_records import Estimate


def estimate(confidence: np.ndarray, calls: np.ndarray) -> Estimate:
    """The expected figures.

    Args:
        confidence: probability of approve for each plan.
        calls: whether the version calls it approve.
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
