"""One training: the MLflow run, the optional search for parameters, the fit and the registration."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.records import TrainedModel
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import AUTO, FAMILIES, family_of, named, own_parameters
from nhm_assets.estimators.families.family import FAMILY
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry.vocabulary import SEARCHED_TAG
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.training.auto_search import search_families
from nhm_assets.training.llm_effect import EFFECT, LlmEffect, llm_weights, measure_effect
from nhm_assets.training.registration import log_fit, log_inputs, register
from nhm_assets.training.search_choice import Search, Tried
from nhm_assets.training.training_spec import TrainingSpec
from nhm_assets.training.trial_runs import TrialRuns
from nhm_assets.training.tuning import Scored, search_parameters
from resources.storage import FrameIOManager

if TYPE_CHECKING:
    from dagster import AssetExecutionContext
    from dagster_mlflow.resources import MlFlow
    from mlflow import MlflowClient

    from resources.mlflow import Mlflow

TRIALS: Final = "search/trials.json"
"""Artifact: what a search over families tried, in order."""
WEIGHTS: Final = "ensemble_weights.json"
"""Artifact: the share of each member in the answer of a voting model."""
_NOTE_TAG = "mlflow.note.content"


@dataclass(frozen=True)
class Trained:
    """A registered version.

    Attributes:
        search: over families, that its parameters come from; None without one.
        effect: of rows that a language model made; None without such rows.
    """

    model: TrainedModel
    search: Search | None = None
    effect: LlmEffect | None = None


def training_settings(
    settings: Settings, specialist: str, weights: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The parameters that the model depends on, besides data and code.

    Args:
        settings: of the platform.
        specialist: its name.
        weights: of rows that a language model made; see `llm_weights`.
    """
    family = settings.family_of(specialist)
    served = {
        "served_classes": settings.served_classes,
        "calibration": settings.calibration,
        **(weights or {}),
    }
    if family == AUTO:
        budget = {"tuning_trials": settings.tuning_trials, "tuning_seconds": settings.tuning_seconds}
        return {FAMILY: AUTO} | budget | served
    tuning = {"tuning_trials": settings.tuning_trials} if settings.hyperparameter_tuning else {}
    return named(FAMILIES[family], FAMILIES[family].defaults) | tuning | served


def train(
    context: "AssetExecutionContext",
    mlflow: "Mlflow",
    client: "MlflowClient",
    frame: pd.DataFrame,
    spec: TrainingSpec,
    settings: Settings,
) -> Trained:
    """Train and register one version, in an MLflow run of its own."""
    rows = learning_rows(frame)
    with training_run(context, mlflow, frame, spec, settings) as run:
        trials = TrialRuns(client, run.active_run().info, spec)
        parameters, search = _parameters(trials, frame, spec, settings)
        if trials.recalled:
            context.log.info("%d trials were taken over from a search that was interrupted", trials.recalled)
        effect = _effect(context, run, frame, parameters, settings)
        if search:
            context.log.info("%s", search.reason)
            run.log_dict([one.shown() for one in search.tried], TRIALS)
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
        if weights := family_of(parameters).weights(own_parameters(parameters)):
            run.log_dict(weights, WEIGHTS)
        searched = settings.hyperparameter_tuning or search is not None
        tags = {SEARCHED_TAG: str(searched).lower()}
        return Trained(register(run, client, fitted, frame, spec, parameters, tags), search, effect)


def _effect(
    context: "AssetExecutionContext",
    run: "type[MlFlow]",
    frame: pd.DataFrame,
    parameters: dict[str, Any],
    settings: Settings,
) -> LlmEffect | None:
    """Measure, log and record what rows of a language model did, if there are any."""
    how: dict[str, Any] = {"threads": settings.training_threads, "served": settings.served_classes}
    effect = measure_effect(frame, parameters, **how)
    if effect:
        tell = context.log.info if effect.result == "helped" else context.log.warning
        tell("%s", effect.reason)
        run.log_dict(effect.shown(), EFFECT)
        run.log_metrics(effect.metrics())
    return effect


@contextmanager
def training_run(
    context: "AssetExecutionContext", mlflow: "Mlflow", frame: pd.DataFrame, spec: TrainingSpec, settings: Settings
) -> "Iterator[type[MlFlow]]":
    """The MLflow run that logs the training of one version: its tags, and the dataset as its input."""
    experiment, name = spec.partition.specialist.experiment, str(spec.partition.key)
    # MLflow shows this text as the description of the run.
    note = f"Trained by [Dagster run {spec.dagster_run_id}]({Links.of(settings).dagster_run(spec.dagster_run_id)})."
    with mlflow.run(experiment=experiment, name=name, tags=spec.tags() | {_NOTE_TAG: note}) as run:
        context.log.info("The training is logged in MLflow run %s", run.active_run().info.run_id)
        dataset = FEEDBACK_DATASET.to_user_string(), spec.partition.specialist, spec.partition.week
        log_inputs(run, frame, spec, str(FrameIOManager(settings.storage).file_of(*dataset)))
        yield run


def _parameters(
    trials: TrialRuns, frame: pd.DataFrame, spec: TrainingSpec, settings: Settings
) -> tuple[dict[str, Any], Search | None]:
    chosen = settings.family_of(spec.partition.specialist)
    weights = llm_weights(frame, settings.llm_weight)
    how: dict[str, Any] = {
        "weights": weights,
        "trials": settings.tuning_trials,
        "threads": settings.training_threads,
        "served": settings.served_classes,
    }
    if chosen == AUTO:

        def log_tried(one: Tried) -> None:
            metrics = {"f1": one.f1, "standard_error": one.standard_error, "folds": one.folds}
            metrics |= {} if one.megabytes is None else {"megabytes": one.megabytes}
            trials.log(one.number, one.parameters, metrics, asdict(one))

        def tried_before(number: int, parameters: Mapping[str, Any]) -> Tried | None:
            record = trials.recall(number, parameters)
            return Tried(**record) if record else None

        search = search_families(
            frame, seconds=settings.tuning_seconds, log_trial=log_tried, recall=tried_before, **how
        )
        return search.chosen.parameters | weights, search
    family = FAMILIES[chosen]
    if not settings.hyperparameter_tuning:
        return named(family, family.defaults) | weights, None

    def log_score(number: int, parameters: dict[str, Any], one: Scored) -> None:
        metrics = {"validation_f1": one.f1, "megabytes": one.megabytes}
        trials.log(number, parameters, metrics, {"parameters": parameters} | asdict(one))

    def score_before(number: int, parameters: Mapping[str, Any]) -> Scored | None:
        record = trials.recall(number, parameters)
        return Scored(record["f1"], record["megabytes"]) if record else None

    found = search_parameters(frame, family, log_trial=log_score, recall=score_before, **how)
    return found | weights, None
