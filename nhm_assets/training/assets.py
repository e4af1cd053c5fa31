"""The asset of the training stage."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from dagster import (
    AssetExecutionContext,
    Config,
    DataVersion,
    MetadataValue,
    Output,
    ResourceParam,
    asset,
)
from pydantic import Field

from nhm_assets.domain.dagster_names import GROUP
from nhm_assets.domain.errors import RegistryError, TooFewRows
from nhm_assets.domain.evidence import judge_evidence
from nhm_assets.domain.outcomes import Outcome, decided_tags
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import TrainedModel
from nhm_assets.registry.ab_tests import place_candidate
from nhm_assets.registry.audit_log import AUDIT_LOG, record_registration
from nhm_assets.registry.recovery import repair_interrupted
from nhm_assets.registry.versions import version_in_production
from nhm_assets.registry.vocabulary import PARTITION_TAG, STAGING, UNSTAGED
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.importances import recorded_importances
from nhm_assets.runs.log_lines import name_version
from nhm_assets.runs.tags import attempts
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.retry_policy import retry_transient_errors
from nhm_assets.steps.tables import pairs
from nhm_assets.training.code_version import code_version
from nhm_assets.training.increment import Frozen, freeze, train_increment
from nhm_assets.training.lineage_picture import lineage_markdown
from nhm_assets.training.llm_effect import llm_weights
from nhm_assets.training.registration import find_version, stage_candidate
from nhm_assets.training.search_picture import search_metadata
from nhm_assets.training.stale_runs import end_stale_runs
from nhm_assets.training.train import train, training_settings
from nhm_assets.training.training_spec import TrainingSpec
from resources.mlflow import Mlflow
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient


class TrainingConfig(Config):
    """Options of one run in the launchpad."""

    force: bool = Field(
        default=False, description="Train even if a version of the same data, code and parameters exists."
    )
    increment: bool = Field(
        default=False,
        description="Correct the last version in Production that learned in full, instead of training in full.",
    )


@asset(
    partitions_def=specialist_weeks,
    hooks={tag_broken_run},
    group_name=GROUP,
    io_manager_key="records",
    output_required=False,
    kinds={"sklearn", "mlflow"},
    description=(
        "A version of the specialist's model in MLflow, by default `{specialist}-evaluator`: one of the family"
        " MODEL_FAMILY, fitted on the train and validation rows and logged as the specialists load it. It is in stage"
        " Staging, with the alias `candidate`; while an A/B test runs, in stage None. If a version of the same data,"
        " code and parameters exists, it is reused and the outcome is `unchanged`. To train anyway, set"
        " FORCE_RETRAIN=true, or `force: true` in the launchpad. An increment (INCREMENT, or `increment: true` in the"
        " launchpad) corrects the answers of the last version in Production that learned in full, by the feedback"
        " since. If the dataset's evidence checks fail, or a search has too few rows to compare on, nothing is trained:"
        " the run stays green, and its outcome is `insufficient_data`."
    ),
)
@retry_transient_errors
def trained_model(
    context: AssetExecutionContext,
    config: TrainingConfig,
    feedback_dataset: pd.DataFrame,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Iterator[Output[TrainedModel]]:
    """Train and register a version, or reuse the one from the same data, code and parameters."""
    if missing := _missing_evidence(feedback_dataset, settings):
        _end_without_candidate(context, Outcome.INSUFFICIENT_DATA, missing)
        return
    partition = Partition.from_key(context.partition_key)
    spec = TrainingSpec.of(
        feedback_dataset,
        partition,
        code_version=code_version(),
        parameters=training_settings(
            settings, partition.specialist, llm_weights(feedback_dataset, settings.llm_weight)
        ),
        dagster_run_id=context.run_id,
        attempts=attempts(context.run),
    )
    force = settings.force_retrain or config.force
    with mongo.database() as database:
        repair_interrupted(mlflow, database[AUDIT_LOG], partition.specialist.registered_model, now=settings.now())
    with mlflow.client() as client:
        experiment = mlflow.experiment_id(partition.specialist.experiment)
        end_stale_runs(client, experiment, partition, lambda run: _is_over(context, run))
        frozen, in_full = _frozen(context, client, mongo, partition, settings) if config.increment else (None, "")
        spec = frozen.spec(spec) if frozen else spec
        trained, search, effect = find_version(client, spec, of_this_run=force), None, None
        if trained is None:
            what = context, mlflow, client, feedback_dataset, spec, settings
            try:
                new = train_increment(*what, frozen) if frozen else train(*what)
            except TooFewRows as error:
                _end_without_candidate(context, Outcome.INSUFFICIENT_DATA, str(error))
                return
            if isinstance(new, str):
                _end_without_candidate(context, Outcome.UNCHANGED, new)
                return
            trained, search, effect = new.model, new.search, new.effect
        name_version(trained.version)
        with mongo.database() as database:
            log = database[AUDIT_LOG]
            waiting = place_candidate(client, log, trained.model, trained.version, settings.now())
            stage_candidate(client, trained, waiting, now=settings.now())
            stage = UNSTAGED if trained.version in waiting else STAGING
            record_registration(log, trained, stage=stage, run=context.run, now=settings.now())
        pictures = _lineage(context, client, trained.model)
        if search:
            pictures |= search_metadata(client, trained.run_id, search, context.log.warning)
        if effect:
            pictures["llm_rows"] = effect.reason
        if in_full:
            pictures["increment"] = in_full
    yield Output(trained, data_version=DataVersion(trained.sha256), metadata=_metadata(trained, settings) | pictures)


def _missing_evidence(frame: pd.DataFrame, settings: Settings) -> str:
    """Why the rows are not enough to learn from; empty if they are."""
    verdicts = judge_evidence(frame, min_samples=settings.min_real_samples)
    return " ".join(verdict.reason for verdict in verdicts if not verdict.passed)


def _end_without_candidate(context: AssetExecutionContext, outcome: Outcome, reason: str) -> None:
    context.log.info("nothing is trained: %s", reason)
    context.instance.add_run_tags(context.run_id, decided_tags(outcome, reason, inherited=context.run.tags))


def _frozen(
    context: AssetExecutionContext, client: "MlflowClient", mongo: Mongo, partition: Partition, settings: Settings
) -> tuple[Frozen | None, str]:
    """What an increment corrects; None and the reason if there is nothing, so that the run trains in full."""
    try:
        with mongo.database() as database:
            log = database[AUDIT_LOG]
            model = partition.specialist.registered_model
            return freeze(client, log, model, settings.served_classes, settings.storage), ""
    except RegistryError as error:
        reason = f"This is no increment, but a full training: {error}"
        context.log.warning("%s", reason)
        return None, reason


def _is_over(context: AssetExecutionContext, run_id: str) -> bool:
    """True if that Dagster run will not log any more. That includes this run, whose attempt has not logged yet."""
    run = context.instance.get_run_by_id(run_id)
    return run is None or run.is_finished or run_id == context.run_id


def _lineage(context: AssetExecutionContext, client: "MlflowClient", model: str) -> dict[str, Any]:
    """The picture of fields, features, and what these are worth to the version in Production."""
    try:
        serving = version_in_production(client, model)
    except RegistryError:
        # The evaluation names it, and breaks the run.
        return {}
    partition = serving.tags.get(PARTITION_TAG) if serving else None
    number = str(serving.version) if serving else None
    known = recorded_importances(context.instance, partition, number) if partition and number else {}
    return {"lineage": MetadataValue.md(lineage_markdown(known, model, number))}


def _metadata(trained: TrainedModel, settings: Settings) -> dict[str, Any]:
    shown = trained.model_dump(include={"model", "version", "data_version", "code_version", "data_source", "reused"})
    links = Links.of(settings).about_version(trained.specialist, trained.model, trained.version, trained.run_id)
    tables: dict[str, Any] = {
        "parameters": pairs("parameter", "value", trained.parameters),
        "rows": pairs("split", "rows", trained.rows),
    }
    if increment := trained.increment:
        losses = {
            f"version {increment.frozen}, frozen": increment.frozen_log_loss,
            f"version {increment.frozen}, last {increment.last} documents": increment.last_frozen_log_loss,
            "with the correction": increment.log_loss,
            f"with the correction, last {increment.last} documents": increment.last_log_loss,
        }
        tables["increment"] = increment.sentence
        tables["increment_log_loss"] = pairs("answers of", "log loss", losses)
    if calibration := trained.calibration:
        tables["calibration"] = calibration.reason
        if calibration.brier:
            tables["calibration_brier"] = pairs("method", "Brier score", calibration.brier)
    return {**shown, "mlflow_run_id": trained.run_id, "links": links, **tables}
