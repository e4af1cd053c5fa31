"""From a fitted forest to a version in the registry, exactly once for the same data, code and parameters."""

import contextlib
import io
import json
import tempfile
import warnings
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.dagster_names import FEEDBACK_DATASET
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.records import TrainedModel
from nhm_assets.registry.model_files import model_sha256
from nhm_assets.registry.versions import all_versions
from nhm_assets.registry.vocabulary import (
    CANDIDATE_ALIAS,
    CODE_VERSION_TAG,
    DAGSTER_RUN_TAG,
    DATA_SOURCE_TAG,
    DATA_VERSION_TAG,
    FILES_DELETED_TAG,
    FINGERPRINT_TAG,
    PARAMETERS_TAG,
    ROWS_TAG,
    SHA256_TAG,
    STAGING,
    WINDOW_END_TAG,
    WINDOW_START_TAG,
)
from nhm_assets.training.forest import learning_rows
from nhm_assets.training.training_spec import TrainingSpec

if TYPE_CHECKING:
    from dagster_mlflow.resources import MlFlow
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.ensemble import RandomForestClassifier

_ARTIFACT = "model"
_REQUIREMENTS = ("scikit-learn", "cloudpickle", "numpy", "pandas")
_EXAMPLE_ROWS = 5
_UNSTAGED = "None"
_NEEDED_TAGS = {
    WINDOW_START_TAG,
    WINDOW_END_TAG,
    SHA256_TAG,
    DATA_VERSION_TAG,
    CODE_VERSION_TAG,
    DATA_SOURCE_TAG,
    PARAMETERS_TAG,
    ROWS_TAG,
}
"""A version that somebody took one of these from is not taken again."""


def find_version(client: "MlflowClient", spec: TrainingSpec, *, of_this_run: bool = False) -> TrainedModel | None:
    """The newest version that was made by this very spec.

    Args:
        client: of the registry.
        spec: what it was made from.
        of_this_run: take only what an earlier, interrupted try of this very run has registered.
    """
    for version in all_versions(client, spec.partition.specialist.registered_model):
        made_alike = version.tags.get(FINGERPRINT_TAG) == spec.fingerprint
        ours = not of_this_run or version.tags.get(DAGSTER_RUN_TAG) in spec.attempts
        if made_alike and ours and _is_whole(version):
            return _record(version, spec)
    return None


def _is_whole(version: "ModelVersion") -> bool:
    tags = version.tags.keys()
    return version.status == "READY" and tags >= _NEEDED_TAGS and FILES_DELETED_TAG not in tags


def _record(version: "ModelVersion", spec: TrainingSpec) -> TrainedModel:
    tags = version.tags
    return TrainedModel(
        specialist=spec.partition.specialist,
        week=spec.partition.week,
        window_start=datetime.fromisoformat(tags[WINDOW_START_TAG]),
        window_end=datetime.fromisoformat(tags[WINDOW_END_TAG]),
        model=version.name,
        version=str(version.version),
        run_id=str(version.run_id),
        sha256=tags[SHA256_TAG],
        data_version=tags[DATA_VERSION_TAG],
        code_version=tags[CODE_VERSION_TAG],
        data_source=tags[DATA_SOURCE_TAG],
        parameters=json.loads(tags[PARAMETERS_TAG]),
        rows=json.loads(tags[ROWS_TAG]),
        reused=tags.get(DAGSTER_RUN_TAG) not in spec.attempts,
    )


def log_inputs(run: "MlFlow", frame: pd.DataFrame, spec: TrainingSpec, source: str) -> None:
    """Name the dataset as the run's input; its digest is the data version."""
    import mlflow.data

    with warnings.catch_warnings():
        # It warns of integers that may be missing (labels never are), and of two names for the same kind of source.
        warnings.simplefilter("ignore")
        dataset = mlflow.data.from_pandas(
            frame[[*FEATURE_NAMES, "label"]],
            source=source,
            targets="label",
            name=f"{FEEDBACK_DATASET.to_user_string()} {spec.partition.key}",
            digest=spec.data_version,
        )
        run.log_input(dataset, context="training")


def register(
    run: "MlFlow",
    client: "MlflowClient",
    forest: "RandomForestClassifier",
    frame: pd.DataFrame,
    spec: TrainingSpec,
    parameters: dict[str, Any],
) -> TrainedModel:
    """Log the forest as the specialists load it and make it a version of their registered model.

    The version appears with all its tags in one call, so that there is never one that says only half.
    """
    model_uri = _log_model(run, forest, learning_rows(frame)[list(FEATURE_NAMES)])
    tags = {
        **spec.tags(),
        PARAMETERS_TAG: json.dumps(parameters, sort_keys=True),
        SHA256_TAG: _stored_sha256(model_uri),
    }
    with contextlib.redirect_stderr(io.StringIO()):
        # MLflow prints what it did; it raises what it could not do.
        version = run.register_model(model_uri, spec.partition.specialist.registered_model, tags=tags)
    return _record(client.get_model_version(version.name, version.version), spec)


def _log_model(run: "MlFlow", forest: "RandomForestClassifier", features: pd.DataFrame) -> str:
    from mlflow.models import infer_signature

    example = features.head(_EXAMPLE_ROWS)
    # The name of this argument differs between the 2.x and the 3.x client.
    named = {"name" if run.__version__.startswith("3.") else "artifact_path": _ARTIFACT}
    logged = run.sklearn.log_model(
        forest,
        **named,
        signature=infer_signature(example, forest.predict_proba(example)),
        input_example=example,
        pyfunc_predict_fn="predict_proba",
        # What the specialists' client reads; the newer default refuses forests.
        serialization_format="cloudpickle",
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
    )
    return str(logged.model_uri)


def _stored_sha256(model_uri: str) -> str:
    """Digest of the file as the artifact store gives it back."""
    import mlflow.artifacts

    with tempfile.TemporaryDirectory(prefix="nhm-model-") as folder:
        return model_sha256(Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)))


def stage_candidate(client: "MlflowClient", trained: TrainedModel) -> None:
    """Put a version into Staging under the alias `candidate`, unless it has moved on already."""
    version = client.get_model_version(trained.model, trained.version)
    if version.current_stage == _UNSTAGED:
        client.transition_model_version_stage(trained.model, trained.version, STAGING)
    if version.current_stage in (_UNSTAGED, STAGING):
        client.set_registered_model_alias(trained.model, CANDIDATE_ALIAS, trained.version)
