"""Predictions of registered versions, loaded from the registry after their files are verified."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import (
    SERVED_ORDERS,
    ClassOrder,
    ServedClasses,
    by_label,
    confidence_column,
    risk_column,
)
from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES
from nhm_assets.domain.errors import RegistryError
from nhm_assets.evaluation.importances import permutation_importances
from nhm_assets.evaluation.shadow import Answers
from nhm_assets.registry.audit_log import Document, registration
from nhm_assets.registry.model_files import classes_of, loaded_model, order_of_classes, verified_model
from nhm_assets.registry.unvouched_model import ask_unvouched

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection


def candidate_probabilities(
    client: "MlflowClient", log: "Collection[Document]", model: str, version: str, rows: pd.DataFrame
) -> tuple[np.ndarray, Callable[[], dict[str, float]]]:
    """The candidate's probabilities of the labels 0, 1, 2 for these rows, and what computes its importances on them.

    Raises:
        RegistryError: it cannot be verified, or its classes are not those of the dataset.
    """
    with verified_model(client, log, model, version) as files:
        estimator = loaded_model(files).get_raw_model()
    order = order_of_classes(client, model, version, classes_of(estimator))
    if order is None:
        raise RegistryError(
            f"{model} version {version} answers the classes {list(estimator.classes_)} instead of {list(CLASS_NAMES)}:"
            " train again with FORCE_RETRAIN=true"
        )

    def ask(features: pd.DataFrame) -> np.ndarray:
        return by_label(estimator.predict_proba(features), order)

    features = rows[list(FEATURE_NAMES)]
    return ask(features), partial(permutation_importances, ask, features, rows["label"].to_numpy())


def champion_probabilities(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    version: str,
    rows: pd.DataFrame,
    *,
    allow_unverified: bool,
) -> np.ndarray:
    """The champion's probabilities of the labels 0, 1, 2 for these rows, through pyfunc as the specialists call it.

    Raises:
        RegistryError: it cannot be verified or loaded, or its answer is unusable. A champion that cannot be
            scored never counts as a bad one: FOREIGN_CHAMPION says what follows.
    """
    return by_label(*_asked(client, log, model, version, rows, allow_unverified=allow_unverified))


def served_answers(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    version: str,
    rows: pd.DataFrame,
    *,
    served: ServedClasses,
    allow_unverified: bool,
) -> Answers:
    """What the specialists read if this version answers about these rows: they go by the position of a column.

    Raises:
        RegistryError: as `champion_probabilities`.
    """
    if rows.empty:
        return Answers(np.empty(0), np.empty(0), np.empty(0, dtype=object))
    answer, order = _asked(client, log, model, version, rows, allow_unverified=allow_unverified)
    read = SERVED_ORDERS[served]
    return Answers(
        confidence=answer[:, confidence_column(read)],
        risk=answer[:, risk_column(read)],
        top=np.array(order)[answer.argmax(axis=1)],
    )


def _asked(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    version: str,
    rows: pd.DataFrame,
    *,
    allow_unverified: bool,
) -> tuple[np.ndarray, ClassOrder]:
    """A version's probabilities for these rows, and the order of its classes."""
    subject = f"{model} version {version}"
    ask = _asked_here if registration(log, model, version) else ask_unvouched
    with verified_model(client, log, model, version, allow_unverified=allow_unverified) as files:
        try:
            answer, classes = ask(files, rows[list(FEATURE_NAMES)])
        except Exception as error:
            raise RegistryError(f"{subject} cannot be scored here ({error})") from error
    expected, actual = (len(rows), len(CLASS_NAMES)), np.shape(answer)
    if actual != expected:
        raise RegistryError(f"{subject} predicts the shape {actual} instead of {expected}")
    probabilities = np.asarray(answer, dtype="float64")
    if not np.isfinite(probabilities).all():
        raise RegistryError(f"{subject} predicts values that are not numbers")
    order = order_of_classes(client, model, version, classes)
    if order is None:
        raise RegistryError(f"{subject} answers the classes {classes or 'unknown'} instead of {list(CLASS_NAMES)}")
    return probabilities, order


def _asked_here(files: Path, features: pd.DataFrame) -> tuple[Any, list[Any] | None]:
    """What a model answers that the audit log vouches for, and the classes that it names."""
    with warnings.catch_warnings():
        # A version of an older library may warn of anything; its answer is checked afterwards.
        warnings.simplefilter("ignore")
        loaded = loaded_model(files)
        answer = loaded.predict(features)
    return answer, classes_of(loaded.get_raw_model())
