"""Versions in Production as others put them there, one of each kind that the field has."""

import importlib
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from tests.support.learnable import learnable
from tests.support.versions import Versions, feature_signature, small_forest

OTHER_COLUMNS = tuple(f"column_{number}" for number in range(26))
_PLAIN = {"serialization_format": "cloudpickle", "pip_requirements": ["scikit-learn==1.5.2"]}
_GONE = """
import mlflow.pyfunc

class Evaluator(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [[0.9, 0.1]] * len(model_input)
"""


def answering_labels(versions: Versions) -> str:
    """MLflow's default for scikit-learn: `predict`."""
    return versions.add(small_forest(), verified=False, pyfunc_predict_fn="predict")


def of_classes(classes: tuple[int, ...]) -> Callable[[Versions], str]:
    def add(versions: Versions) -> str:
        rows = learnable()
        labels = np.array(classes)[np.arange(len(rows)) % len(classes)]
        return versions.add(
            RandomForestClassifier(n_estimators=3).fit(rows[list(FEATURE_NAMES)], labels), verified=False
        )

    return add


def with_other_columns(versions: Versions) -> str:
    rows = learnable()
    features = rows[list(FEATURE_NAMES)].set_axis(OTHER_COLUMNS, axis=1)
    other = RandomForestClassifier(n_estimators=3).fit(features, rows["label"])
    return versions.add(other, verified=False, signature=feature_signature(OTHER_COLUMNS))


def of_a_class_that_is_gone(versions: Versions) -> str:
    """A pyfunc whose class was importable only where it was made."""
    files = versions.folder / uuid.uuid4().hex
    name = f"gone_{uuid.uuid4().hex[:8]}"
    module = versions.folder / f"{name}.py"
    module.write_text(_GONE)
    sys.path.insert(0, str(versions.folder))
    try:
        evaluator = importlib.import_module(name).Evaluator()
        mlflow.pyfunc.save_model(str(files), python_model=evaluator, pip_requirements=["mlflow"])
    finally:
        sys.path.remove(str(versions.folder))
        sys.modules.pop(name, None)
        module.unlink()
    return versions.add_folder(files, tags={})


def without_files(versions: Versions) -> str:
    return versions.add_folder(Path(versions.folder / "nothing"), tags={})


FOREIGN: dict[str, tuple[Callable[[Versions], str], str]] = {
    "labels": (answering_labels, "answers with predict instead of predict_proba"),
    "classes 1 to 3": (of_classes((1, 2, 3)), "did not register it"),
    "classes 0 to 3": (of_classes((0, 1, 2, 3)), "did not register it"),
    "other columns": (with_other_columns, "its 26 columns are not the 26 features"),
    "a class that is gone": (of_a_class_that_is_gone, "it is no scikit-learn model (its loader is mlflow.pyfunc"),
    "no files": (without_files, "has no files that can be read"),
}
"""Kind -> what adds such a version, and what the report says of it."""
