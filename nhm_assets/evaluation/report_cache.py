"""The recorded report of a reused version, if evaluating it again would give the same result."""

from typing import TYPE_CHECKING, Final

from dagster import AssetRecordsFilter, DagsterInstance
from pydantic import ValidationError

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dagster_names import REPORT_METADATA
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.records import EvaluationReport, TrainedModel

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_MAX_MATERIALIZATIONS: Final = 10
"""The newest materializations of the partition that are searched for a report on this version."""


def recorded_report(
    instance: DagsterInstance, partition_key: str, trained: TrainedModel, champion: "ModelVersion | None"
) -> EvaluationReport | None:
    """The newest recorded report on a reused version, if it is still valid.

    It is valid if it compares with the current champion on the same window, or if the version itself is the champion by
    now.
    """
    if not trained.reused:
        return None
    records_filter = AssetRecordsFilter(asset_key=EVALUATION_REPORT, asset_partitions=[partition_key])
    champion_version = str(champion.version) if champion else None
    for record in instance.fetch_materializations(records_filter, limit=_MAX_MATERIALIZATIONS).records:
        materialization = record.asset_materialization
        recorded = materialization and materialization.metadata.get(REPORT_METADATA)
        try:
            report = EvaluationReport.model_validate(recorded.value) if recorded else None
        except (ValidationError, DataError):
            # A newer release recorded it.
            continue
        if report and _is_about(report, trained):
            if report.schema_version < EvaluationReport.current_version():
                # An evaluation by this release finds more.
                return None
            if champion_version == trained.version:
                return report
            # Settings may allow the comparison by now, and what is foreign may have been registered. If the week has
            # closed since, the gate asks less.
            valid = not report.foreign_champion and report.window_end == trained.window_end
            return report if valid and champion_version == report.compared_with else None
    return None


def _is_about(report: EvaluationReport, trained: TrainedModel) -> bool:
    fields = ("model", "version", "run_id", "data_version", "code_version")
    return all(getattr(report, field) == getattr(trained, field) for field in fields)
