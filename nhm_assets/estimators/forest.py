"""The random forest: its parameters, its training rows and its three classes."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, TEST

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

PARAMETERS: Final[dict[str, Any]] = {
    "n_estimators": 100,
    "max_depth": 10,
    "min_samples_split": 5,
    "min_samples_leaf": 2,
    "class_weight": "balanced",
    "random_state": 42,
}


def learning_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the model is fitted on: train and validation, never test."""
    return frame[frame["split"] != TEST]


def fit_forest(
    rows: pd.DataFrame, parameters: dict[str, Any], *, threads: int, served: ServedClasses = "names"
) -> "RandomForestClassifier":
    """Fit a forest that knows all three classes, by name: approve, reject, review_required.

    The specialists read the first probability as confidence and the second as risk, so the order matters.

    For each missing class, one row with weight zero is added. Trees ignore rows without weight, so the forest learns
    nothing from it, but `predict_proba` gets the column of zeros that the specialists expect. (Bootstraps also draw
    the added row, so the forest differs from one without that row as much as with another seed.)

    Args:
        rows: dataset rows, in the order of the dataset; another order results in another forest.
        parameters: of RandomForestClassifier.
        threads: of the fit; their number does not change the result.
        served: fit on the names of the classes, or on their numbers: reject, approve, review_required.
    """
    from sklearn.ensemble import RandomForestClassifier

    missing = sorted(set(range(len(CLASS_NAMES))) - set(rows["label"]))
    features = rows[list(FEATURE_NAMES)]
    labels = rows["label"].to_numpy()
    weights = None
    if missing:
        weightless = pd.DataFrame(0.0, index=range(len(missing)), columns=features.columns)
        features = pd.concat([features, weightless], ignore_index=True)
        weights = np.append(np.ones(len(labels)), np.zeros(len(missing)))
        labels = np.append(labels, missing)
    classes = fitted_labels(labels, served)
    forest = RandomForestClassifier(**parameters, n_jobs=threads).fit(features, classes, sample_weight=weights)
    if not all(tree.tree_.weighted_n_node_samples[0] > 0 for tree in forest.estimators_):
        # Of very few rows, a bootstrap may draw only those without weight; that tree would answer NaN for everything.
        forest.set_params(bootstrap=False).fit(features, classes, sample_weight=weights)
    # Serving pods have small CPU limits and predict one row at a time.
    return forest.set_params(n_jobs=1)
