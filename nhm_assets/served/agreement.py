"""How far a version's opinions agree with people, from confidences, risks and labels alone."""

from collections.abc import Iterable
from math import sqrt

import numpy as np

from nhm_assets.domain.served_records import UNATTENDED, Agreement, Calls, Decline


def calls_approve(confidence: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """Whether approve is the most probable class of each answer.

    Confidence and risk are the probabilities of approve and reject; the rest is that of review_required. Without a
    risk, approve is called above 0.5.
    """
    rest = np.maximum(risk, 1 - confidence - risk)
    return confidence > np.where(np.isnan(risk), 0.5, rest)


def counted(calls: np.ndarray, approved: np.ndarray) -> Calls:
    """Calls of approve against what people said."""
    return Calls(
        tp=int((calls & approved).sum()),
        fp=int((calls & ~approved).sum()),
        fn=int((~calls & approved).sum()),
        tn=int((~calls & ~approved).sum()),
    )


def agreement(version: str, confidence: np.ndarray, risk: np.ndarray, approved: np.ndarray) -> Agreement:
    """The agreement of one version on its reviewed opinions, at least one.

    Args:
        version: that gave the opinions.
        confidence: of each opinion, shape (n,).
        risk: likewise; NaN if it is missing.
        approved: whether people approved it, shape (n,).
    """
    unattended = confidence >= UNATTENDED
    return Agreement(
        version=version,
        reviewed=len(approved),
        approvals=int(approved.sum()),
        auc=auc(confidence, approved),
        brier=float(np.mean((confidence - approved) ** 2)),
        unattended=int(unattended.sum()),
        unattended_approved=int((unattended & approved).sum()),
        calls=counted(calls_approve(confidence, risk), approved),
    )


def auc(confidence: np.ndarray, approved: np.ndarray) -> float | None:
    """Area under the ROC curve of approve; None unless people approved some plans, and others not."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(approved, confidence)) if 0 < approved.sum() < len(approved) else None


def f1_variance(calls: Calls) -> float:
    """Variance of F1 over samples of rows (the delta method, the limit of the bootstrap)."""
    f1, named = calls.f1, calls.named
    if f1 is None:
        return 0.0
    return float((calls.tp * (2 - 2 * f1) ** 2 + (calls.fp + calls.fn) * f1**2) / named**2)


def decline(recent: Calls, evaluated: Calls, earlier: Iterable[Calls]) -> Decline | None:
    """The drop of F1 in recent weeks; None if there is nothing to compare.

    Args:
        recent: calls on opinions that were reviewed recently.
        evaluated: calls on the rows that the version was evaluated on; none if that is unknown.
        earlier: calls in weeks before.
    """
    expected = Calls.total([evaluated, *earlier])
    if recent.f1 is None or expected.f1 is None:
        return None
    error = sqrt(f1_variance(recent) + f1_variance(expected))
    return Decline(
        recent=recent,
        expected=expected,
        evaluated=evaluated.rows,
        drop=expected.f1 - recent.f1,
        standard_error=error,
    )
