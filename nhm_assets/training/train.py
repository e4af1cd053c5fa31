"""One training: the MLflow run, the optional search for parameters, the fit and the registration."""

import time
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.dagster_names import FEEDBACK_DATASET
from nhm_assets.domain.records import TrainedModel
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import FAMILIES, named
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry.vocabulary import PARTITION_TAG, TRIAL_OF_TAG
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.training.registration import log_fit, log_inputs, register
from nhm_assets.training.training_spec import TrainingSpec
from nhm_assets.training.tuning import search_parameters
from resources.storage import FrameIOManager

if TYPE_CHECKING:
    from dagster import AssetExecutionContext
    from dagster_mlflow.resources import MlFlow
    from mlflow import MlflowClient

    from resources.mlflow import Mlflow

_NOTE_TAG = "mlflow.note.content"
_PARENT_RUN_TAG = "mlflow.parentRunId"


def training_settings(settings: Settings, specialist: str) -> dict[str, Any]:
    """The parameters that the model depends on, besides data and code."""
    tuning = {"tuning_trials": settings.tuning_trials} if settings.hyperparameter_tuning else {}
    family = FAMILIES[settings.family_of(specialist)]
    served = {"served_classes": settings.served_classes, "calibration": settings.calibration}
    return named(family, family.defaults) | tuning | served


def train(
    context: "AssetExecutionContext",
    mlflow: "Mlflow",
    client: "MlflowClient",
    frame: pd.DataFrame,
    spec: TrainingSpec,
    settings: Settings,
) -> TrainedModel:
    """Train and register one version, in an MLflow run of its own."""
    rows = learning_rows(frame)
    experiment, name = spec.partition.specialist.experiment, str(spec.partition.key)
    # MLflow shows this text as the description of the run.
    note = f"Trained by [Dagster run {spec.dagster_run_id}]({Links.of(settings).dagster_run(spec.dagster_run_id)})."
    with mlflow.run(experiment=experiment, name=name, tags=spec.tags() | {_NOTE_TAG: note}) as run:
        context.log.info("The training is logged in MLflow run %s", run.active_run().info.run_id)
        parameters = _parameters(client, run, frame, spec, settings)
        dataset = FEEDBACK_DATASET.to_user_string(), spec.partition.specialist, spec.partition.week
        log_inputs(run, frame, spec, str(FrameIOManager(settings.storage).file_of(*dataset)))
        started = time.monotonic()
        fitted = fit_estimator(
            rows,
            parameters,
            threads=settings.training_threads,
            segments=segments_of(frame)[rows.index],
            served=settings.served_classes,
            calibration=settings.calibration,
        )
        seconds = time.monotonic() - started
        context.log.info("%s", fitted.calibration.reason)
        log_fit(run, parameters, fitted.calibration, {"fit_seconds": seconds, "rows_learned": len(rows)})
        return register(run, client, fitted, frame, spec, parameters)


def _parameters(
    client: "MlflowClient", run: "type[MlFlow]", frame: pd.DataFrame, spec: TrainingSpec, settings: Settings
) -> dict[str, Any]:
    family = FAMILIES[settings.family_of(spec.partition.specialist)]
    if not settings.hyperparameter_tuning:
        return named(family, family.defaults)
    parent = run.active_run().info

    def log_trial(number: int, parameters: dict[str, Any], score: float) -> None:
        tags = {
            PARTITION_TAG: str(spec.partition.key),
            TRIAL_OF_TAG: spec.dagster_run_id,
            _PARENT_RUN_TAG: parent.run_id,
        }
        trial = client.create_run(parent.experiment_id, run_name=f"trial {number}", tags=tags).info.run_id
        for name, value in parameters.items():
            client.log_param(trial, name, value)
        client.log_metric(trial, "validation_f1", score)
        client.set_terminated(trial, "FINISHED")

    return search_parameters(
        frame,
        family,
        trials=settings.tuning_trials,
        threads=settings.training_threads,
        log_trial=log_trial,
        served=settings.served_classes,
    )
