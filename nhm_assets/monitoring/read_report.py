"""A recorded report as the exporter reads it, with what its check says of the champion."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dagster import AssetCheckKey, DagsterInstance
from pydantic import ValidationError

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dagster_internals import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    PartitionKeyFilter,
)
from nhm_assets.domain.dagster_names import REPORT_METADATA, SERVING_ON_LINE
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.outcomes import REPORT_DIGEST
from nhm_assets.domain.records import EvaluationReport

if TYPE_CHECKING:
    from dagster import EventLogRecord

_CHECK = AssetCheckKey(EVALUATION_REPORT, SERVING_ON_LINE)


@dataclass(frozen=True)
class ReadReport:
    """A report, and the verdict on what serves.

    Attributes:
        storage_id: of the materialization that has the report.
        report: None if another release recorded it, in a form that this one does not know.
        champion_on_line: 1.0 or 0.0, as the check recorded it; None if no champion was asked, or not yet.
    """

    storage_id: int
    report: EvaluationReport | None
    champion_on_line: float | None = None


def read_again(instance: DagsterInstance, record: "EventLogRecord", before: ReadReport | None) -> ReadReport:
    """The report of a materialization. `before` is what was read last; where it says all, nothing is read."""
    if before is None or before.storage_id != record.storage_id:
        before = ReadReport(record.storage_id, _parsed(record))
    report = before.report
    if report is None or report.new_rows is None or before.champion_on_line is not None:
        return before
    # The checks are recorded a moment after the report.
    return replace(before, champion_on_line=_on_line(instance, str(record.partition_key), report))


def _parsed(record: "EventLogRecord") -> EvaluationReport | None:
    made = record.asset_materialization
    recorded = made.metadata.get(REPORT_METADATA) if made else None
    try:
        return EvaluationReport.model_validate(recorded.value) if recorded else None
    except (ValidationError, DataError):
        # A newer release recorded it.
        return None


def _on_line(instance: DagsterInstance, partition_key: str, report: EvaluationReport) -> float | None:
    """What the check says of exactly this report; None while it says nothing."""
    newest = instance.event_log_storage.get_asset_check_execution_history(
        _CHECK,
        limit=1,
        # A run in progress, and one that ended without a new report, have only planned the check.
        status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        partition_filter=PartitionKeyFilter(key=partition_key),
    )
    evaluation = newest[0].evaluation if newest else None
    digest = evaluation.metadata.get(REPORT_DIGEST) if evaluation else None
    if evaluation is None or digest is None or digest.value != report.digest():
        return None
    return float(evaluation.passed)
