"""The asset of the evaluation stage."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from dagster import AssetCheckResult, AssetExecutionContext, MetadataValue, Output, ResourceParam, asset

from nhm_assets.domain.dagster_names import EVALUATION_REPORT, GROUP
from nhm_assets.domain.outcomes import REPORT_DIGEST
from nhm_assets.domain.partitions import specialist_weeks
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.evaluation.checks import evaluation_report_checks
from nhm_assets.evaluation.gate import GateRules, judge
from nhm_assets.evaluation.markdown import comparison_table, importance_table
from nhm_assets.evaluation.predictions import candidate_probabilities, champion_probabilities
from nhm_assets.evaluation.report import build_report, held_out_rows
from nhm_assets.evaluation.report_cache import REPORT_METADATA, recorded_report
from nhm_assets.registry.versions import version_in_production
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_results
from nhm_assets.steps.retry_policy import tries_again
from resources.mlflow import Mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@asset(
    partitions_def=specialist_weeks,
    group_name=GROUP,
    io_manager_key="records",
    check_specs=evaluation_report_checks,
    kinds={"sklearn", "mlflow"},
    description=(
        "The candidate's metrics on the newest rows, those of the version in Production on the same rows, their"
        " comparison, and what each feature is worth. The checks on it are the gate: one that fails holds the"
        " candidate in Staging, and the run stays green. A version that was evaluated against the same champion"
        " before keeps its report; the checks judge it by today's thresholds."
    ),
)
@tries_again
def evaluation_report(
    context: AssetExecutionContext,
    trained_model: TrainedModel,
    feedback_dataset: pd.DataFrame,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
) -> Iterator[Output[EvaluationReport] | AssetCheckResult]:
    """Score, compare and judge; report and verdicts are yielded together."""
    with mlflow.client() as client:
        champion = version_in_production(client, trained_model.model)
        report = recorded_report(context.instance, context.partition_key, trained_model, champion)
        reused = report is not None
        if report is None:
            report = _evaluate(client, feedback_dataset, trained_model, champion, settings)
            _log_metrics(client, report)
    yield Output(report, metadata=_metadata(report) | {"reused": reused})
    for result in check_results(EVALUATION_REPORT, judge(report, GateRules.of(settings))):
        # Binds the verdict to this very report: promotion looks for it.
        yield result._replace(metadata={**result.metadata, REPORT_DIGEST: MetadataValue.text(report.digest())})


def _evaluate(
    client: "MlflowClient",
    frame: pd.DataFrame,
    trained: TrainedModel,
    champion: "ModelVersion | None",
    settings: Settings,
) -> EvaluationReport:
    rows = held_out_rows(frame, trained)
    candidate, importances = candidate_probabilities(client, trained.model, trained.version, rows)
    scored = None
    if champion is not None:
        number = str(champion.version)
        probabilities = champion_probabilities(
            client, trained.model, number, rows, allow_unverified=settings.allow_unverified_champion
        )
        scored = (number, probabilities)
    return build_report(frame, trained, candidate, importances=importances, champion=scored)


def _log_metrics(client: "MlflowClient", report: EvaluationReport) -> None:
    """Add the metrics to the run that trained the candidate, where people look for them."""
    from mlflow.entities import Metric

    moment = int(time.time() * 1000)
    numbers = report.candidate.model_dump(exclude={"support", "confusion"})
    client.log_batch(
        report.run_id, metrics=[Metric(f"test_{name}", value, moment, 0) for name, value in numbers.items()]
    )


def _metadata(report: EvaluationReport) -> dict[str, Any]:
    return {
        "model": report.model,
        "version": report.version,
        "precision": report.candidate.precision,
        "recall": report.candidate.recall,
        "f1": report.candidate.f1,
        "accuracy": report.candidate.accuracy,
        "champion_f1": report.champion.metrics.f1 if report.champion else None,
        "metrics": MetadataValue.md(comparison_table(report)),
        "importances": MetadataValue.md(importance_table(report)),
        REPORT_METADATA: MetadataValue.json(report.model_dump(mode="json")),
    }
