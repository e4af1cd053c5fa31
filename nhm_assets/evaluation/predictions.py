"""Predictions of registered versions, loaded from the registry after their files are verified."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES
from nhm_assets.domain.errors import RegistryError
from nhm_assets.evaluation.metrics import f1_of_approve
from nhm_assets.registry.model_files import verified_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

_REPEATS = 5
_SEED = 42


def candidate_probabilities(
    client: "MlflowClient", model: str, version: str, rows: pd.DataFrame
) -> tuple[np.ndarray, dict[str, float]]:
    """The candidate's probabilities for these rows, shape (n, 3), and its feature importances on them.

    The importance of a feature is the loss of F1 of approve when its values are shuffled, mean over repeats
    (Breiman 2001, scikit-learn's permutation_importance).
    """
    import mlflow.sklearn

    with verified_model(client, model, version) as files:
        forest = mlflow.sklearn.load_model(str(files))
    features = rows[list(FEATURE_NAMES)]
    return forest.predict_proba(features), _importances(forest, features, rows["label"])


def _importances(forest: Any, features: pd.DataFrame, labels: pd.Series) -> dict[str, float]:
    from sklearn.inspection import permutation_importance

    def score(model: Any, rows: pd.DataFrame, truth: pd.Series) -> float:
        return f1_of_approve(truth.to_numpy(), model.predict(rows))

    result = permutation_importance(forest, features, labels, scoring=score, n_repeats=_REPEATS, random_state=_SEED)
    return dict(zip(FEATURE_NAMES, map(float, result.importances_mean), strict=True))


def champion_probabilities(
    client: "MlflowClient", model: str, version: str, rows: pd.DataFrame, *, allow_unverified: bool
) -> np.ndarray:
    """The champion's probabilities for these rows, shape (n, 3), through pyfunc as the specialists call it.

    Raises:
        RegistryError: it cannot be verified or loaded, or its answer is unusable. A champion that cannot be
            scored never counts as a bad one.
    """
    import mlflow.pyfunc

    subject = f"the champion, {model} version {version},"
    remedy = "roll back to a version that works, or archive this one, then run this again"
    with verified_model(client, model, version, allow_unverified=allow_unverified) as files:
        try:
            with warnings.catch_warnings():
                # A version from elsewhere may warn of anything; its answer is checked below.
                warnings.simplefilter("ignore")
                answer = mlflow.pyfunc.load_model(str(files)).predict(rows[list(FEATURE_NAMES)])
            probabilities = np.asarray(answer, dtype="float64")
        except Exception as error:
            raise RegistryError(f"{subject} cannot be scored ({error}): {remedy}") from error
    if probabilities.shape != (len(rows), len(CLASS_NAMES)):
        expected = (len(rows), len(CLASS_NAMES))
        raise RegistryError(f"{subject} predicts the shape {probabilities.shape} instead of {expected}: {remedy}")
    if not np.isfinite(probabilities).all():
        raise RegistryError(f"{subject} predicts values that are not numbers: {remedy}")
    return probabilities
