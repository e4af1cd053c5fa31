"""Checks that the specialists can load a registered version and read its predictions."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.class_order import SERVED_ORDERS, ServedClasses
from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, TEST
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.frame_views import taken
from nhm_assets.domain.outcomes import VERSION_CHECKS
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry.audit_log import Document
from nhm_assets.registry.model_files import loaded_model, verified_model
from nhm_assets.training.pod_limits import (
    FITS,
    IN_TIME,
    LARGEST_MB,
    MOST_MEMORY_MB,
    SLOWEST_MS,
    judge_contents,
    judge_load,
    measured_load,
)
from nhm_assets.training.served_answers import ask, ask_alone, contrast, spread

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient
    from pymongo.collection import Collection

SERVING_SKLEARN = "1.5.2"
"""The version that the specialists run. A pickled model is sure to load only in the version that wrote it."""

_SERVING_FORMAT = "cloudpickle"
_READ = "serves_as_specialists_read_it"

DESCRIPTIONS = {
    FITS: f"The model file names only what pods have, and has at most {LARGEST_MB} MB.",
    "signature_matches_features": "The model's signature names the 26 features, in order, as doubles.",
    "loads_as_pyfunc": "The version loads from the registry and predicts probabilities of shape (n, 3).",
    "sklearn_compatible": f"It was saved as cloudpickle by scikit-learn {SERVING_SKLEARN}, which the specialists run.",
    _READ: "Asked and read as the specialists do it, the version is more confident of held-out plans that people"
    " approved than of those that they rejected, and sees less risk in them.",
    IN_TIME: f"One plan takes at most {SLOWEST_MS} ms on one thread, and the model at most {MOST_MEMORY_MB} MB.",
}
BLOCKING = frozenset(VERSION_CHECKS)


def judge_version(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    version: str,
    frame: pd.DataFrame,
    served: ServedClasses,
) -> list[Verdict]:
    """One verdict per check, on a version in the registry.

    Args:
        client: of the registry.
        log: the audit log, which has the digest of the version's file.
        model: name of the registered model.
        version: number of the version.
        frame: the dataset that it was trained on.
        served: the order in which the specialists read the classes.
    """
    try:
        with verified_model(client, log, model, version) as files:
            return [
                judge_contents(files),
                _signature(files),
                _loads(files),
                _sklearn(files),
                _is_read_right(files, frame, served),
                _in_time(files),
            ]
    except RegistryError as error:
        return [
            Verdict(name, passed=False, reason=str(error), warns_only=name not in BLOCKING) for name in DESCRIPTIONS
        ]


def _signature(files: "Path") -> Verdict:
    from mlflow.models import Model

    signature = Model.load(str(files)).signature
    actual = [(column.name, column.type.name) for column in signature.inputs] if signature else []
    expected = [(name, "double") for name in FEATURE_NAMES]
    passed = actual == expected
    reason = "The signature names the 26 features, in order, as doubles." if passed else f"The signature is {actual}."
    return Verdict("signature_matches_features", passed, reason)


def _loads(files: "Path") -> Verdict:
    # A plan without stored features has no embedding, so the model must accept missing values.
    rows = pd.DataFrame(math.nan, index=range(3), columns=list(FEATURE_NAMES))
    rows.iloc[0] = 0.0
    try:
        probabilities: Any = loaded_model(files).predict(rows)
        shape = tuple(getattr(probabilities, "shape", ()))
        passed = shape == (len(rows), len(CLASS_NAMES)) and bool((abs(probabilities.sum(axis=1) - 1) < 1e-9).all())
    except Exception as error:  # noqa: BLE001 - a model from elsewhere may raise anything
        return Verdict("loads_as_pyfunc", passed=False, reason=f"The version does not load or predict: {error}")
    return Verdict("loads_as_pyfunc", passed, f"The prediction for {len(rows)} rows has the shape {shape}.")


def _sklearn(files: "Path") -> Verdict:
    from mlflow.models import Model

    flavor = Model.load(str(files)).flavors["sklearn"]
    version, file_format = flavor.get("sklearn_version"), flavor.get("serialization_format")
    passed = (version, file_format) == (SERVING_SKLEARN, _SERVING_FORMAT)
    reason = (
        f"Saved by scikit-learn {version} as {file_format}. The specialists run scikit-learn {SERVING_SKLEARN} and load"
        f" {_SERVING_FORMAT}."
    )
    return Verdict("sklearn_compatible", passed, reason, {"sklearn": str(version), "format": str(file_format)})


def _in_time(files: "Path") -> Verdict:
    try:
        with _without_remarks_on_inputs():
            return judge_load(measured_load(files))
    except Exception as error:  # noqa: BLE001 - a model from elsewhere may raise anything
        return Verdict(IN_TIME, passed=False, reason=f"The version does not answer: {error}", warns_only=True)


@contextmanager
def _without_remarks_on_inputs() -> Iterator[None]:
    """Hide MLflow's warning about the seven further columns, which the specialists send with every question."""
    logger = logging.getLogger("mlflow.models.utils")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _is_read_right(files: "Path", frame: pd.DataFrame, served: ServedClasses) -> Verdict:
    try:
        with _without_remarks_on_inputs():
            return _judge_answers(loaded_model(files), frame, served)
    except Exception as error:  # noqa: BLE001 - a model from elsewhere may raise anything
        return Verdict(_READ, passed=False, reason=f"The version does not answer the specialists: {error}")


def _judge_answers(model: Any, frame: pd.DataFrame, served: ServedClasses) -> Verdict:
    """Judge on the held-out rows; where they do not show the order of the classes, on the learned rows.

    A weak model may find less confidence for approved plans among the held-out rows by chance. That is for the gate to
    judge. A model that is read in the wrong order is wrong on the rows that it learned, too.
    """
    kinds = {"held-out": taken(frame, frame["split"] == TEST), "learned": learning_rows(frame)}
    found = []
    for kind, rows in kinds.items():
        if rows.empty:
            continue
        few = spread(rows)
        if not ask(model, few, served).equals(ask_alone(model, few, served)):
            reason = f"One row at a time, the version answers something else than for {len(few)} rows at once."
            return Verdict(_READ, passed=False, reason=reason)
        compared = contrast(ask(model, rows, served), rows["label"].to_numpy())
        if compared is None:
            continue
        found.append(f"{compared} on {len(rows)} {kind} rows")
        if compared.right:
            return Verdict(_READ, passed=True, reason=f"Approved plans against rejected ones: {'; '.join(found)}.")
    if not found:
        return Verdict(_READ, passed=True, reason="The rows hold approved plans only, or none: nothing to compare.")
    order = ", ".join(SERVED_ORDERS[served])
    return Verdict(
        _READ,
        passed=False,
        reason=f"Read by position ({order}), approved plans do not look better than rejected ones: {'; '.join(found)}."
        " The version answers its classes in another order, or has learned nothing.",
    )
