"""Recorded evaluations, promotions and rollbacks of a Dagster instance, without runs of the platform."""

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetMaterialization,
    AssetObservation,
    DagsterInstance,
    MetadataValue,
)

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, PROMOTED_VERSION
from nhm_assets.domain.dagster_names import REPORT_METADATA
from nhm_assets.domain.outcomes import OUTCOME_TAG, ROLLED_BACK
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.gate import GateRules, failed_gate, judge
from tests.support.reports import RULES


def partition_of(report: EvaluationReport) -> str:
    return str(Partition.parse(report.week, report.specialist).key)


def record_evaluation(instance: DagsterInstance, report: EvaluationReport, rules: GateRules = RULES) -> None:
    """A report and its verdicts, and its promotion where the gate is open."""
    partition = partition_of(report)
    verdicts = judge(report, rules)
    content = {REPORT_METADATA: MetadataValue.json(report.model_dump(mode="json"))}
    instance.report_runless_asset_event(AssetMaterialization(EVALUATION_REPORT, partition=partition, metadata=content))
    for verdict in verdicts:
        severity = AssetCheckSeverity.WARN if verdict.warns_only else AssetCheckSeverity.ERROR
        instance.report_runless_asset_event(
            AssetCheckEvaluation(
                EVALUATION_REPORT, verdict.check, passed=verdict.passed, severity=severity, partition=partition
            )
        )
    if not failed_gate(verdicts):
        moved = {"specialist": report.specialist, "version": report.version}
        instance.report_runless_asset_event(AssetMaterialization(PROMOTED_VERSION, partition=partition, metadata=moved))


def record_rollback(instance: DagsterInstance, report: EvaluationReport, *, to: str) -> None:
    """A rollback from the version of a report to an earlier one."""
    moved = {"specialist": report.specialist, "version": to, "from_version": report.version}
    instance.report_runless_asset_event(
        AssetObservation(
            PROMOTED_VERSION, partition=partition_of(report), metadata=moved, tags={OUTCOME_TAG: ROLLED_BACK}
        )
    )
