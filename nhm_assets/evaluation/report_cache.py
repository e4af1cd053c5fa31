"""The report that a version has already, where evaluating it again would say the same."""

from typing import TYPE_CHECKING, Final

from dagster import AssetRecordsFilter, DagsterInstance
from pydantic import ValidationError

from nhm_assets.domain.dagster_names import EVALUATION_REPORT
from nhm_assets.domain.records import EvaluationReport, TrainedModel

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

REPORT_METADATA: Final = "report"
_LOOKED_THROUGH: Final = 10
"""Materializations of the partition that are searched for a report on this version."""


def recorded_report(
    instance: DagsterInstance, partition_key: str, trained: TrainedModel, champion: "ModelVersion | None"
) -> EvaluationReport | None:
    """The newest recorded report on a reused version, if it was made under today's circumstances.

    That is: against the champion of today; or the version is the champion by now, and would be compared with
    itself.
    """
    if not trained.reused:
        return None
    where = AssetRecordsFilter(asset_key=EVALUATION_REPORT, asset_partitions=[partition_key])
    today = str(champion.version) if champion else None
    for record in instance.fetch_materializations(where, limit=_LOOKED_THROUGH).records:
        materialization = record.asset_materialization
        found = materialization and materialization.metadata.get(REPORT_METADATA)
        try:
            report = EvaluationReport.model_validate(found.value) if found else None
        except ValidationError:
            # Recorded by a release whose reports looked otherwise.
            continue
        if report and _is_about(report, trained):
            compared_with = report.champion.version if report.champion else None
            return report if today in (trained.version, compared_with) else None
    return None


def _is_about(report: EvaluationReport, trained: TrainedModel) -> bool:
    fields = ("model", "version", "run_id", "data_version", "code_version")
    return all(getattr(report, field) == getattr(trained, field) for field in fields)
