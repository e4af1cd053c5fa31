"""Registers a fitted estimator as a version, once for the same data, code and parameters."""

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Set
from datetime import datetime
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.class_order import class_order
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.first_week import running_week
from nhm_assets.domain.frame_views import columns
from nhm_assets.domain.increment_records import Increment
from nhm_assets.domain.partitions import Window, weeks_before
from nhm_assets.domain.records import Calibration, TrainedModel
from nhm_assets.estimators.calibration import Fitted
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry import vocabulary
from nhm_assets.registry.model_files import model_sha256
from nhm_assets.registry.versions import all_versions, version_by_alias, versions_with_tag, window_end
from nhm_assets.training.training_spec import TrainingSpec
from resources.addresses import web_address
from resources.mlflow_runs import run_state

if TYPE_CHECKING:
    from dagster_mlflow.resources import MlFlow
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_ARTIFACT = "model"
_REQUIREMENTS = ("scikit-learn", "cloudpickle", "numpy", "pandas")
_EXAMPLE_ROWS = 5
_RECENT_WEEKS = 4
_NEEDED_TAGS = {
    vocabulary.WINDOW_START_TAG,
    vocabulary.WINDOW_END_TAG,
    vocabulary.SHA256_TAG,
    vocabulary.DATA_VERSION_TAG,
    vocabulary.CODE_VERSION_TAG,
    vocabulary.DATA_SOURCE_TAG,
    vocabulary.PARAMETERS_TAG,
    vocabulary.ROWS_TAG,
    vocabulary.CLASSES_TAG,
    vocabulary.CALIBRATION_TAG,
}
"""A version that lost one of these tags is not reused."""


def find_version(client: "MlflowClient", spec: TrainingSpec, *, of_this_run: bool = False) -> TrainedModel | None:
    """The newest version that was trained from exactly this spec; None if there is none.

    Args:
        client: of the registry.
        spec: what the version must be trained from.
        of_this_run: accept only a version that this Dagster run, or a run that it retries, has registered.
    """
    model = spec.partition.specialist.registered_model
    for version in versions_with_tag(client, model, vocabulary.FINGERPRINT_TAG, spec.fingerprint):
        accepted = not of_this_run or version.tags.get(vocabulary.DAGSTER_RUN_TAG) in spec.attempts
        if accepted and _is_complete(version) and _has_run(client, version):
            return _record(version, spec)
    return None


def _is_complete(version: "ModelVersion") -> bool:
    tags = version.tags.keys()
    return version.status == "READY" and tags >= _NEEDED_TAGS and vocabulary.FILES_DELETED_TAG not in tags


def _has_run(client: "MlflowClient", version: "ModelVersion") -> bool:
    """Whether its training run exists: `mlflow gc` removes the run of a version together with its files."""
    return version.run_id is not None and run_state(client, version.run_id) is not None


def _record(version: "ModelVersion", spec: TrainingSpec) -> TrainedModel:
    tags = version.tags
    increment = tags.get(vocabulary.INCREMENT_TAG)
    window = _window(version, spec)
    return TrainedModel(
        specialist=spec.partition.specialist,
        week=spec.partition.week,
        window_start=window.start,
        window_end=window.end,
        model=version.name,
        version=str(version.version),
        run_id=str(version.run_id),
        sha256=tags[vocabulary.SHA256_TAG],
        data_version=tags[vocabulary.DATA_VERSION_TAG],
        code_version=tags[vocabulary.CODE_VERSION_TAG],
        data_source=tags[vocabulary.DATA_SOURCE_TAG],
        parameters=json.loads(tags[vocabulary.PARAMETERS_TAG]),
        rows=json.loads(tags[vocabulary.ROWS_TAG]),
        calibration=Calibration.model_validate_json(tags[vocabulary.CALIBRATION_TAG]),
        increment=Increment.model_validate_json(increment) if increment else None,
        reused=tags.get(vocabulary.DAGSTER_RUN_TAG) not in spec.attempts,
    )


def _window(version: "ModelVersion", spec: TrainingSpec) -> Window:
    """The window that a version learned from.

    If the week has closed since, and brought no other rows, it is that of the closed week: the gate asks more of
    candidates of a week that will be evaluated again.
    """
    tags = vocabulary.WINDOW_START_TAG, vocabulary.WINDOW_END_TAG
    learned = Window(*(datetime.fromisoformat(version.tags[tag]) for tag in tags))
    return spec.window if learned.end < spec.partition.week_end <= spec.window.end else learned


def log_inputs(run: "type[MlFlow]", frame: pd.DataFrame, spec: TrainingSpec, source: str) -> None:
    """Log the dataset as input of the run; its digest is the data version."""
    import mlflow.data

    with warnings.catch_warnings():
        # Labels are integers that are never missing, and the name that MLflow gives the kind of source has no effect.
        warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*source can be interpreted in multiple ways", category=UserWarning)
        learned = columns(frame, (*FEATURE_NAMES, "label"))
        dataset = mlflow.data.from_pandas(
            learned,
            source=web_address(source),
            targets="label",
            name=f"{FEEDBACK_DATASET.to_user_string()} {spec.partition.key}",
            digest=spec.data_version,
        )
        # Otherwise MLflow looks at each value by itself, for many seconds.
        vars(dataset)["schema"] = mlflow.data.from_pandas(_telling_rows(learned)).schema
        run.log_input(dataset, context="training")


def _telling_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Two values of each column, from which MLflow infers the same schema: one is missing if any is."""
    return pd.DataFrame({name: values.array[[0, int(values.isna().argmax())]] for name, values in frame.items()})


def log_fit(
    run: "type[MlFlow]", parameters: dict[str, Any], calibration: Calibration, metrics: dict[str, float]
) -> None:
    """Log the model's parameters, the method of calibration, its Brier scores, and these metrics."""
    run.log_params(parameters | {"calibration": calibration.method})
    scores = {f"calibration_brier_{method}": score for method, score in calibration.brier.items()}
    run.log_metrics(metrics | scores | {"calibration_rows": calibration.learned_rows})


def register(
    run: "type[MlFlow]",
    client: "MlflowClient",
    fitted: Fitted,
    frame: pd.DataFrame,
    spec: TrainingSpec,
    parameters: dict[str, Any],
    more_tags: Mapping[str, str] = MappingProxyType({}),
) -> TrainedModel:
    """Log the estimator as the specialists load it, and register it as a version of their model.

    One call creates the version with all its tags, so no version ever has only some of them.

    Args:
        run: the open MLflow run.
        client: of the registry.
        fitted: what is registered.
        frame: the dataset.
        spec: what it was trained from.
        parameters: of the model.
        more_tags: of the version, besides those of every version.
    """
    model_uri = _log_model(run, fitted.estimator, learning_rows(frame).head(_EXAMPLE_ROWS)[list(FEATURE_NAMES)])
    tags = {
        **spec.tags(),
        **more_tags,
        vocabulary.PARAMETERS_TAG: json.dumps(parameters, sort_keys=True),
        vocabulary.CALIBRATION_TAG: fitted.calibration.model_dump_json(),
        vocabulary.CLASSES_TAG: ",".join(class_order(fitted.estimator.classes_) or ()),
        vocabulary.SHA256_TAG: _stored_sha256(model_uri),
    }
    with contextlib.redirect_stderr(io.StringIO()):
        # MLflow prints success messages to stderr; errors are raised.
        version = run.register_model(model_uri, spec.partition.specialist.registered_model, tags=tags)
    return _record(client.get_model_version(version.name, version.version), spec)


def _log_model(run: "type[MlFlow]", estimator: Any, example: pd.DataFrame) -> str:
    from mlflow.models import infer_signature

    # The name of this argument differs between the 2.x and the 3.x client.
    artifact_name = {"name" if run.__version__.startswith("3.") else "artifact_path": _ARTIFACT}
    logged = run.sklearn.log_model(
        estimator,
        **artifact_name,
        signature=infer_signature(example, estimator.predict_proba(example)),
        input_example=example,
        pyfunc_predict_fn="predict_proba",
        # The format that the client of the specialists reads; the newer default refuses trees.
        serialization_format="cloudpickle",
        pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
    )
    return str(logged.model_uri)


def _stored_sha256(model_uri: str) -> str:
    """SHA-256 of the model file, read back from the artifact store."""
    import mlflow.artifacts

    with tempfile.TemporaryDirectory(prefix="nhm-model-") as folder:
        return model_sha256(Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)))


def stage_candidate(
    client: "MlflowClient", trained: TrainedModel, waiting: Set[str] = frozenset(), *, now: datetime
) -> None:
    """Put a version into Staging, unless it is already Archived or in Production, or has to wait.

    It gets the alias `candidate` if no version in Staging, or that waits, learned from a newer window: an older week
    that is retrained must not look like the next champion.

    Args:
        client: of the registry.
        trained: the version.
        waiting: numbers of the versions that wait in stage None while an A/B test runs.
        now: no version can have learned from a later week than the running one.
    """
    version = client.get_model_version(trained.model, trained.version)
    if version.current_stage == vocabulary.UNSTAGED and trained.version not in waiting:
        client.transition_model_version_stage(trained.model, trained.version, vocabulary.STAGING)
    if version.current_stage in (vocabulary.UNSTAGED, vocabulary.STAGING):
        candidate = _newest_candidate(client, trained, waiting, now)
        if version_by_alias(client, trained.model, vocabulary.CANDIDATE_ALIAS) != candidate:
            client.set_registered_model_alias(trained.model, vocabulary.CANDIDATE_ALIAS, candidate)


def _newest_candidate(client: "MlflowClient", trained: TrainedModel, waiting: Set[str], now: datetime) -> str:
    """The number of the version in Staging with the newest window, or that waits; of the same window, `trained`."""
    newest, end = trained.version, trained.window_end
    for version in _of_its_week_or_newer(client, trained, now):
        its_end = window_end(version)
        is_candidate = version.current_stage == vocabulary.STAGING or str(version.version) in waiting
        if is_candidate and its_end and its_end > end:
            newest, end = str(version.version), its_end
    return newest


def _of_its_week_or_newer(client: "MlflowClient", trained: TrainedModel, now: datetime) -> "Iterator[ModelVersion]":
    """The versions of its week and of later ones; of an old week, of which many are later, all versions."""
    weeks = [week for week in weeks_before(running_week(now), _RECENT_WEEKS) if week >= trained.week]
    if trained.week not in weeks:
        yield from all_versions(client, trained.model)
    else:
        for week in weeks:
            key = f"{trained.specialist}|{week}"
            yield from versions_with_tag(client, trained.model, vocabulary.PARTITION_TAG, key)
