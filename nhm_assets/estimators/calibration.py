"""The estimator that is registered: a model whose probabilities are calibrated on rows that it had not learned.

`class_weight=balanced` makes a model answer as if the three classes were equally frequent. The specialists read its
answers as confidence and risk, so calibrators put the frequencies back that reviewers show.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES
from nhm_assets.domain.frame_views import taken
from nhm_assets.domain.records import Calibration, CalibrationMethod
from nhm_assets.domain.segments import temporal_segments, timed_rows
from nhm_assets.estimators.recent_fits import fit_once

if TYPE_CHECKING:
    from sklearn.calibration import CalibratedClassifierCV

CalibrationChoice = Literal["auto", "none", "sigmoid", "isotonic"]
"""A method, or `auto`: the better one of none and sigmoid."""

_CUTS: Final = (0.65, 0.825)
"""Shares of the oldest segment, by time: the first part is learned by the earlier model, the others are asked."""
_HALVES: Final = (0.5,)
_EARLIER, _MIDDLE, _LATEST = range(3)
_ROWS_OF_A_CLASS: Final = 5
"""Fewer rows of a class in a part say too little about its frequency."""


@dataclass(frozen=True)
class Fitted:
    """An estimator, and how it was calibrated."""

    estimator: Any
    calibration: Calibration


def fit_estimator(
    rows: pd.DataFrame,
    parameters: dict[str, Any],
    *,
    threads: int,
    segments: pd.Series | None = None,
    served: ServedClasses = "names",
    calibration: CalibrationChoice = "auto",
) -> Fitted:
    """Fit what is registered: a model that has learned all these rows, with calibrated probabilities.

    Calibrators must learn from answers about rows that the answering model has not learned; it is far too sure of
    the others. So an earlier model learns the oldest rows and is asked about the newer ones. Its calibrators then
    serve the model that has learned all rows: no row is given up.

    The earlier model learns exactly the oldest segment, if there are newer ones. So the candidate and both folds of
    the gate share a model: it is the earlier one of the candidate and of fold 2, and fold 1 itself.

    Args:
        rows: dataset rows, in the order of the dataset; never test rows.
        parameters: of the model's family, which they name unless it is the default one.
        threads: of the fits; their number does not change the result.
        segments: of these rows in their dataset, with the same index; None: all are of the oldest segment.
        served: see `fit_model`.
        calibration: the method. `auto` takes sigmoid if its Brier score is better than that of no calibration, on rows
            that neither the earlier model nor the compared calibrators have learned. Nothing is calibrated where
            the rows of a class are too few.

    Source: Platt (1999) for sigmoid, Zadrozny & Elkan (2002) for isotonic and for three classes, one against the rest.
    """
    model = fit_once(rows, parameters, threads=threads, served=served)
    if calibration == "none":
        return Fitted(model, Calibration(method="none", reason="Not calibrated: CALIBRATION=none."))
    parts = _parts(rows, segments)
    if too_few := _too_few(rows["label"], parts):
        return Fitted(model, Calibration(method="none", reason=too_few))
    earlier = fit_once(taken(rows, parts == _EARLIER), parameters, threads=threads, served=served)
    ask = _Questions(earlier, served)
    chosen = _choose(ask, taken(rows, parts == _MIDDLE), taken(rows, parts == _LATEST), calibration)
    if chosen.method == "none":
        return Fitted(model, chosen)
    calibrated = ask.calibrated(taken(rows, parts != _EARLIER), chosen.method)
    # What `CalibratedClassifierCV(ensemble=False)` does: calibrators learn from models of some of the rows, and serve
    # the one on all. It would cut the rows without regard to time, and refuses a cut that never asks the oldest rows.
    calibrated.set_params(estimator=model).calibrated_classifiers_[0].estimator = model
    return Fitted(calibrated, chosen)


def _parts(rows: pd.DataFrame, segments: pd.Series | None) -> np.ndarray:
    """The part of each row by time; all rows of a plan are in the part of the newest one.

    Synthetic rows are in the first part, as they are among the train rows: only reviewers show what is frequent.
    """
    asked = timed_rows(rows)
    if segments is not None and segments.any():
        newer = asked["plan_id"][segments[asked.index] > 0]
        parts = _MIDDLE + temporal_segments(newer, _HALVES)
    else:
        parts = temporal_segments(asked["plan_id"], _CUTS)
    return parts.reindex(rows.index, fill_value=_EARLIER).to_numpy()


def _too_few(labels: pd.Series, parts: np.ndarray) -> str:
    """Why nothing can be calibrated; empty if it can. A class without any row is no obstacle."""
    for label in sorted(set(labels)):
        found = np.bincount(parts[labels == label], minlength=len(_CUTS) + 1)
        if found.min() < _ROWS_OF_A_CLASS:
            return (
                f"Not calibrated: oldest to newest, three parts of the rows have {', '.join(map(str, found))} rows of"
                f" {CLASS_NAMES[label]}; {_ROWS_OF_A_CLASS} are required in each."
            )
    return ""


def _choose(
    ask: "_Questions", middle: pd.DataFrame, latest: pd.DataFrame, calibration: CalibrationChoice
) -> Calibration:
    """The method, and the Brier scores on the latest rows without calibrators and with those of the middle rows."""
    method: CalibrationMethod = "isotonic" if calibration == "isotonic" else "sigmoid"
    scores = {"none": ask.brier(ask.model, latest), method: ask.brier(ask.calibrated(middle, method), latest)}
    better = scores[method] < scores["none"]
    used = better or calibration != "auto"
    return Calibration(
        method=method if used else "none",
        brier=scores,
        learned_rows=len(middle) + len(latest) if used else 0,
        compared_rows=len(latest),
        reason=(
            f"{method.capitalize()} calibration is {'better' if better else 'not better'} on {len(latest)} newer rows:"
            f" Brier score {scores[method]:.3f} against {scores['none']:.3f} (CALIBRATION={calibration})."
        ),
    )


@dataclass(frozen=True)
class _Questions:
    """The earlier model, and what it says about rows that it has not learned."""

    model: Any
    served: ServedClasses

    def calibrated(self, rows: pd.DataFrame, method: CalibrationMethod) -> "CalibratedClassifierCV":
        """The model with calibrators that learned from its answers about these rows."""
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.isotonic import IsotonicRegression
        from threadpoolctl import threadpool_limits

        classes = fitted_labels(rows["label"].to_numpy(), self.served)
        # scikit-learn 1.6 and newer want FrozenEstimator(model) instead of cv="prefit".
        calibrated = CalibratedClassifierCV(self.model, method=method, cv="prefit")
        # Two parameters per class: threads would spend more time waiting for each other than the whole fit takes.
        with threadpool_limits(1, user_api="blas"):
            calibrated.fit(rows[list(FEATURE_NAMES)], classes)
        never = IsotonicRegression(out_of_bounds="clip").fit([0.0, 1.0], [0.0, 0.0])
        calibrators = calibrated.calibrated_classifiers_[0].calibrators
        for position, name in enumerate(calibrated.classes_):
            if name not in classes:
                # The sigmoid of a class that never occurs is small, but trees rightly say zero.
                calibrators[position] = never
        return calibrated

    def brier(self, estimator: Any, rows: pd.DataFrame) -> float:
        """Squared errors of the probabilities, summed over the classes, mean over the rows: 0 is best, 2 is worst."""
        classes = fitted_labels(rows["label"].to_numpy(), self.served)
        errors = estimator.predict_proba(rows[list(FEATURE_NAMES)]) - (classes[:, None] == estimator.classes_)
        return float((errors**2).sum(axis=1).mean())
