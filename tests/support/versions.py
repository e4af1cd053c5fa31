"""Registered versions with model files, but without a training run."""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.registry.model_files import model_sha256
from nhm_assets.registry.vocabulary import SHA256_TAG
from nhm_assets.training.forest import PARAMETERS, fit_forest
from resources.mlflow import Mlflow
from tests.support.learnable import learnable

MODEL = "technical-evaluator"
FEW_TREES = PARAMETERS | {"n_estimators": 10}
SAVED = {
    "serialization_format": "cloudpickle",
    "pyfunc_predict_fn": "predict_proba",
    "pip_requirements": ["scikit-learn==1.5.2"],
}


def feature_signature(names: tuple[str, ...] = FEATURE_NAMES, kind: str = "double") -> Any:
    """The signature of a model with these input columns, which predicts three probabilities."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    inputs = Schema([ColSpec(kind, name) for name in names])
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype("float64"), (-1, 3))]))


def small_forest(**changes: Any) -> Any:
    """A forest of a few trees, fitted on learnable rows."""
    return fit_forest(learnable(**changes), FEW_TREES, threads=1)


@dataclass(frozen=True)
class Versions:
    """A registry, and the folder of the files of its versions."""

    client: MlflowClient
    folder: Path

    def add(
        self,
        model: Any,
        *,
        tags: Mapping[str, str] | None = None,
        verified: bool = True,
        stage: str = "Staging",
        **save_options: Any,
    ) -> str:
        """Save and register a model; a verified version has the digest of its file as tag."""
        import mlflow.sklearn

        files = self.folder / uuid.uuid4().hex
        mlflow.sklearn.save_model(model, str(files), **({"signature": feature_signature()} | SAVED | save_options))
        digest = {SHA256_TAG: model_sha256(files)} if verified else {}
        return self.add_folder(files, tags=digest | dict(tags or {}), stage=stage)

    def add_folder(self, files: Path, *, tags: Mapping[str, str], stage: str = "Staging") -> str:
        """Register existing files."""
        if not self.client.search_registered_models(f"name='{MODEL}'"):
            self.client.create_registered_model(MODEL)
        version = str(self.client.create_model_version(MODEL, str(files), tags=dict(tags)).version)
        self.client.transition_model_version_stage(MODEL, version, stage)
        return version

    def files(self, version: str) -> Path:
        """The folder of the files of a version."""
        return Path(self.client.get_model_version(MODEL, version).source)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, migrated_mlflow: Path) -> Iterator[Versions]:
    """An empty registry that the tests of a module add their versions to."""
    home = tmp_path_factory.mktemp("versions")
    shutil.copytree(migrated_mlflow, home / "mlflow")
    with Mlflow(uri=None, home=home / "mlflow", timeout_s=10).client() as client:
        yield Versions(client, home)
