"""Whether a registered version is what the specialists can load and read."""

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES
from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.model_files import verified_model

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

SERVING_SKLEARN = "1.5.2"
"""What the specialists run. A pickled forest is only promised to load in the version that wrote it."""

_SERVING_FORMAT = "cloudpickle"

DESCRIPTIONS = {
    "signature_matches_features": "The model's signature names the 26 features, in order, as doubles.",
    "loads_as_pyfunc": "The version loads by its registry address and gives probabilities of shape (n, 3).",
    "sklearn_compatible": f"It was written as cloudpickle by scikit-learn {SERVING_SKLEARN}, which specialists run.",
}


def judge_version(client: "MlflowClient", model: str, version: str) -> list[Verdict]:
    """One verdict a check, of a version as it stands in the registry."""
    try:
        with verified_model(client, model, version) as files:
            return [_signature(files), _loads(files), _sklearn(files)]
    except RegistryError as error:
        return [Verdict(name, passed=False, reason=str(error)) for name in DESCRIPTIONS]


def _signature(files: "Path") -> Verdict:
    from mlflow.models import Model

    signature = Model.load(str(files)).signature
    found = [(one.name, one.type.name) for one in signature.inputs] if signature else []
    wanted = [(name, "double") for name in FEATURE_NAMES]
    reason = "the 26 features, in order" if found == wanted else f"the signature reads {found}"
    return Verdict("signature_matches_features", found == wanted, reason)


def _loads(files: "Path") -> Verdict:
    import mlflow.pyfunc

    # A plan without stored features has no embedding, so a model must cope with rows like this one.
    rows = pd.DataFrame(math.nan, index=range(3), columns=list(FEATURE_NAMES))
    rows.iloc[0] = 0.0
    try:
        probabilities: Any = mlflow.pyfunc.load_model(str(files)).predict(rows)
        shape = tuple(getattr(probabilities, "shape", ()))
        passed = shape == (len(rows), len(CLASS_NAMES)) and bool((abs(probabilities.sum(axis=1) - 1) < 1e-9).all())
    except Exception as error:  # noqa: BLE001 - whatever a foreign model raises is the finding
        return Verdict("loads_as_pyfunc", passed=False, reason=f"it does not load or predict: {error}")
    return Verdict("loads_as_pyfunc", passed, f"probabilities of shape {shape} for {len(rows)} rows")


def _sklearn(files: "Path") -> Verdict:
    from mlflow.models import Model

    flavor = Model.load(str(files)).flavors["sklearn"]
    written, form = flavor.get("sklearn_version"), flavor.get("serialization_format")
    passed = (written, form) == (SERVING_SKLEARN, _SERVING_FORMAT)
    reason = f"written by scikit-learn {written} as {form}; the specialists run {SERVING_SKLEARN}"
    return Verdict("sklearn_compatible", passed, reason, {"sklearn": str(written), "format": str(form)})
