"""How the candidate's probability of approve behaves: precision and recall by threshold, calibration, directions."""

from typing import Final

import numpy as np
import pandas as pd

from nhm_assets.domain.curve_records import CalibrationBin, CurvePoint, Curves
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.evaluation.metrics import Probabilities

_POINTS: Final = 50
_ROWS_PER_BIN: Final = 20
_BINS: Final = 10
_DIGITS: Final = 4


def curves_of(rows: pd.DataFrame, probabilities: Probabilities) -> Curves:
    """The curves of a candidate.

    Args:
        rows: the test rows.
        probabilities: of the labels 0, 1, 2 for these rows, shape (n, 3).
    """
    approved, score = rows["label"].to_numpy() == APPROVE, probabilities[:, APPROVE]
    return Curves(
        precision_recall=precision_recall(approved, score),
        calibration=calibration(approved, score),
        directions={name: direction(rows[name].to_numpy(), score) for name in FEATURE_NAMES},
    )


def precision_recall(approved: np.ndarray, score: np.ndarray) -> list[CurvePoint]:
    """At most 50 points of the precision-recall curve; none if no row is approve."""
    if not approved.any():
        return []
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(approved[order])
    # Equal scores are on the same side of every threshold, so only the last of them is a point.
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    chosen = ends[np.unique(np.linspace(0, len(ends) - 1, min(_POINTS, len(ends))).round().astype(int))]
    return [
        CurvePoint(
            threshold=_rounded(score[order][at]),
            precision=_rounded(hits[at] / (at + 1)),
            recall=_rounded(hits[at] / hits[-1]),
        )
        for at in chosen
    ]


def calibration(approved: np.ndarray, score: np.ndarray) -> list[CalibrationBin]:
    """At most ten bins with about equally many rows, of twenty rows or more where there are so many."""
    order = np.argsort(score, kind="stable")
    bins = max(1, min(_BINS, len(order) // _ROWS_PER_BIN))
    return [
        CalibrationBin(predicted=_rounded(score[part].mean()), rows=len(part), approvals=int(approved[part].sum()))
        for part in np.array_split(order, bins)
        if len(part)
    ]


def direction(values: np.ndarray, score: np.ndarray) -> float:
    """Spearman's rank correlation of two columns, over the rows where the first one is known."""
    known = ~np.isnan(values)
    ranked, scored = (pd.Series(column[known]).rank().to_numpy() for column in (values, score))
    if any(len(column) < 2 or np.ptp(column) == 0 for column in (ranked, scored)):
        return 0.0
    return _rounded(np.corrcoef(ranked, scored)[0, 1])


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
