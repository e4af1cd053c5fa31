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
from pymongo import MongoClient
from pymongo.collection import Collection

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.model_files import model_sha256
from nhm_assets.registry.vocabulary import SHA256_TAG
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
    return fit_model(learnable(**changes), FEW_TREES, threads=1)


@dataclass(frozen=True)
class Versions:
    """A registry, the folder of the files of its versions, and the audit log that has their digests."""

    client: MlflowClient
    folder: Path
    log: Collection[dict[str, Any]]

    def add(
        self,
        model: Any,
        *,
        tags: Mapping[str, str] | None = None,
        verified: bool = True,
        stage: str = "Staging",
        **save_options: Any,
    ) -> str:
        """Save and register a model; a verified version is one that the platform has registered."""
        import mlflow.sklearn

        files = self.folder / uuid.uuid4().hex
        mlflow.sklearn.save_model(model, str(files), **({"signature": feature_signature()} | SAVED | save_options))
        if not verified:
            return self.add_folder(files, tags=dict(tags or {}), stage=stage)
        digest = model_sha256(files)
        version = self.add_folder(files, tags={SHA256_TAG: digest} | dict(tags or {}), stage=stage)
        self.record(version, sha256=digest)
        return version

    def record(self, version: str, **fields: str) -> None:
        """Record in the audit log that the platform registered a version."""
        entry = {"kind": "registered", "model": MODEL, "version": version, **fields}
        self.log.replace_one({"_id": f"registered:{MODEL}:{version}"}, entry, upsert=True)

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
def versions(tmp_path_factory: pytest.TempPathFactory, migrated_mlflow: Path, mongod_uri: str) -> Iterator[Versions]:
    """An empty registry that the tests of a module add their versions to."""
    home = tmp_path_factory.mktemp("versions")
    shutil.copytree(migrated_mlflow, home / "mlflow")
    database = f"versions_{uuid.uuid4().hex[:12]}"
    with Mlflow(uri=None, home=home / "mlflow", timeout_s=10).client() as client, MongoClient(mongod_uri) as mongo:
        yield Versions(client, home, mongo[database][AUDIT_LOG])
        mongo.drop_database(database)
