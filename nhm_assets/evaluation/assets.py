"""The asset of the evaluation stage."""

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from dagster import AssetCheckResult, AssetExecutionContext, MetadataValue, Output, ResourceParam, asset

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dagster_names import GROUP, REPORT_METADATA
from nhm_assets.domain.evidence import stored_share
from nhm_assets.domain.outcomes import HELD_AS, HELD_BECAUSE, REPORT_DIGEST
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.evaluation.checks import evaluation_report_checks
from nhm_assets.evaluation.decision_card import decision_card
from nhm_assets.evaluation.evaluate import evaluate
from nhm_assets.evaluation.gate import GateRules, failed_verdicts, is_complete, judge
from nhm_assets.evaluation.held_as import ThirdVerdict, estimates_of, third_verdict
from nhm_assets.evaluation.markdown import comparison_table, importance_table, settling_sentence
from nhm_assets.evaluation.members import MEMBER_COLUMNS, candidates_members
from nhm_assets.evaluation.report_cache import recorded_report
from nhm_assets.evaluation.report_picture import REPORT_PICTURE, draw_report
from nhm_assets.evaluation.shadow_picture import SHADOW_PICTURE
from nhm_assets.evaluation.shadow_replay import cast_shadow
from nhm_assets.evaluation.shadow_tables import shadow_metadata
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.recovery import champion_of, repair_interrupted
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.log_lines import name_version
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_results
from nhm_assets.steps.links import Links
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.pictures import drawn, log_pictures, markdown
from nhm_assets.steps.retry_policy import retry_transient_errors
from nhm_assets.steps.tables import table
from resources.mlflow import Mlflow
from resources.mlflow_runs import run_state
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient


@asset(
    partitions_def=specialist_weeks,
    hooks={tag_broken_run},
    group_name=GROUP,
    io_manager_key="records",
    check_specs=evaluation_report_checks,
    kinds={"sklearn", "mlflow"},
    description=(
        "Metrics of the candidate and of the champion on the same newest rows, their comparison, and the importance of"
        " each feature. Its checks are the gate: if one fails, the candidate is held in Staging and the run stays"
        " green. A version that was already evaluated against the same champion keeps its report; the checks always"
        " use the current thresholds."
    ),
)
@retry_transient_errors
def evaluation_report(
    context: AssetExecutionContext,
    trained_model: TrainedModel,
    feedback_dataset: pd.DataFrame,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Iterator[Output[EvaluationReport] | AssetCheckResult]:
    """Evaluate and judge the candidate; report and verdicts are yielded together."""
    name_version(trained_model.version)
    rules = GateRules.of(settings, trained_model.specialist)
    with mongo.database() as database:
        log = database[AUDIT_LOG]
        repair_interrupted(mlflow, log, trained_model.model, now=settings.now())
        with mlflow.client() as client:
            champion = champion_of(client, log, trained_model.model)
            report = recorded_report(context.instance, context.partition_key, trained_model, champion)
            reused, shadow = report is not None and is_complete(report, rules), None
            if report is None or not reused:
                report = evaluate(client, log, feedback_dataset, trained_model, champion, settings)
                shadow = cast_shadow(client, database, trained_model, champion, settings, warn=context.log.warning)
                report = report.model_copy(update={"shadow": shadow.shadow if shadow else None})
            members = candidates_members(client, log, feedback_dataset, trained_model)
            if members and not members.is_worth_it:
                context.log.warning("%s", members.sentence)
            picture = drawn(partial(draw_report, report, rules), context.log.warning)
            if not reused:
                pictures = {REPORT_PICTURE: picture, SHADOW_PICTURE: shadow.picture if shadow else None}
                if run_state(client, report.run_id) == "active":
                    _log_metrics(client, report)
                    log_pictures(client, report.run_id, pictures, context.log.warning)
                else:
                    context.log.warning("MLflow run %s was deleted, so no metrics are logged there", report.run_id)
    verdicts = judge(report, rules)
    failed = failed_verdicts(verdicts)
    third = third_verdict(estimates_of(report, rules), failed) if failed else None
    card: dict[str, Any] = {"decision": MetadataValue.md(decision_card(report, verdicts, third))}
    if picture:
        card["picture"] = MetadataValue.md(markdown("what the candidate does", picture))
    held = _held_metadata(third) if third else {}
    links = Links.of(settings)
    linked = links.about_version(report.specialist, report.model, report.version, report.run_id)
    if members:
        card |= {"ensemble": members.sentence, "members": table(MEMBER_COLUMNS, members.rows())}
    share = {"stored_features_share": stored_share(feedback_dataset)}
    shown = card | {"links": linked} | _metadata(report) | share | shadow_metadata(report.shadow, shadow, links) | held
    yield Output(report, metadata=shown | {"reused": reused})
    about = held | {REPORT_DIGEST: MetadataValue.text(report.digest())}
    yield from check_results(EVALUATION_REPORT, verdicts, context.partition_key, about=about)


def _held_metadata(third: ThirdVerdict) -> dict[str, MetadataValue]:
    """What the rows say of a candidate that the gate holds."""
    return {HELD_AS: MetadataValue.text(str(third.held_as)), HELD_BECAUSE: MetadataValue.text(third.sentence)}


def _log_metrics(client: "MlflowClient", report: EvaluationReport) -> None:
    """Add the metrics to the MLflow run that trained the candidate, by our names and by those that others look for."""
    from mlflow.entities import Metric

    timestamp_ms = int(time.time() * 1000)
    metrics = report.candidate.model_dump(exclude={"support", "confusion"})
    named = {f"test_{name}": value for name, value in metrics.items()}
    named |= {name: metrics[name] for name in ("precision", "recall", "f1", "accuracy")} | {"f1_score": metrics["f1"]}
    named |= {name: value for name, value in _doubt(report).items() if value is not None}
    client.log_batch(report.run_id, metrics=[Metric(name, value, timestamp_ms, 0) for name, value in named.items()])


def _doubt(report: EvaluationReport) -> dict[str, float | None]:
    """How sure the decision is, in numbers."""
    return {
        "flip_rate": report.flip_rate,
        "plans_to_settle": report.settling.plans if report.settling else None,
    }


def _metadata(report: EvaluationReport) -> dict[str, Any]:
    return {
        "model": report.model,
        "version": report.version,
        **report.candidate.model_dump(include={"precision", "recall", "f1", "accuracy"}),
        "champion_f1": report.champion.metrics.f1 if report.champion else None,
        "foreign_champion": report.foreign_champion.reason if report.foreign_champion else None,
        **_doubt(report),
        "would_settle_it": settling_sentence(report.settling) if report.settling else None,
        "metrics": MetadataValue.md(comparison_table(report)),
        "importances": MetadataValue.md(importance_table(report)),
        REPORT_METADATA: MetadataValue.json(report.model_dump(mode="json")),
    }
