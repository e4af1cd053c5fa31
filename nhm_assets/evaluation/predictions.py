"""Models as they stand in the registry, asked about rows."""

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

    Importance of a feature: how much F1 of approve falls when its values are shuffled, mean over
    repeats (Breiman 2001, as scikit-learn's permutation_importance has it).
    """
    import mlflow.sklearn

    with verified_model(client, model, version) as files:
        forest = mlflow.sklearn.load_model(str(files))
    features = rows[list(FEATURE_NAMES)]
    return forest.predict_proba(features), _importances(forest, features, rows["label"])


def _importances(forest: Any, features: pd.DataFrame, labels: pd.Series) -> dict[str, float]:
    from sklearn.inspection import permutation_importance

    def score(model: Any, asked: pd.DataFrame, truth: pd.Series) -> float:
        return f1_of_approve(truth.to_numpy(), model.predict(asked))

    found = permutation_importance(forest, features, labels, scoring=score, n_repeats=_REPEATS, random_state=_SEED)
    return dict(zip(FEATURE_NAMES, map(float, found.importances_mean), strict=True))


def champion_probabilities(
    client: "MlflowClient", model: str, version: str, rows: pd.DataFrame, *, allow_unverified: bool
) -> np.ndarray:
    """The champion's probabilities for these rows, asked as the specialists ask it; shape (n, 3).

    Raises:
        RegistryError: it cannot be verified, loaded or read. A champion that cannot be scored is never
            taken for a bad one.
    """
    import mlflow.pyfunc

    with verified_model(client, model, version, allow_unverified=allow_unverified) as files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = mlflow.pyfunc.load_model(str(files)).predict(rows[list(FEATURE_NAMES)])
            probabilities = np.asarray(answer, dtype="float64")
        except Exception as error:
            raise RegistryError(
                f"the version in Production, {model} version {version}, cannot be scored ({error}): roll back to"
                " one that can be loaded, or archive it, then run this again"
            ) from error
    if probabilities.shape != (len(rows), len(CLASS_NAMES)):
        raise RegistryError(
            f"the version in Production, {model} version {version}, answers with shape {probabilities.shape} instead of"
            f" ({len(rows)}, {len(CLASS_NAMES)}): archive it, then run this again"
        )
    if not np.isfinite(probabilities).all():
        raise RegistryError(
            f"the version in Production, {model} version {version}, answers with values that are not numbers:"
            " archive it, then run this again"
        )
    return probabilities
