"""What the checks that stop a run say of the version and the dataset of a report.

A run that they stop leaves a version, or a dataset, behind. A later run that begins after them does not ask them again,
so the promotion reads what they said.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from dagster import DagsterInstance

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET, TRAINED_MODEL
from nhm_assets.domain.outcomes import CHECKED_DATA, CHECKED_RUN, CHECKED_VERSION, DATASET_CHECKS, VERSION_CHECKS
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.promotion.recorded_checks import has_passed, newest_about, text_of

if TYPE_CHECKING:
    from nhm_assets.domain.dagster_internals import AssetCheckExecutionRecord


def why_unfit(
    instance: DagsterInstance, partition_key: str, report: EvaluationReport, gate_run_ids: Collection[str]
) -> str:
    """Which of these checks failed for exactly the version and the dataset of a report, or said nothing.

    Args:
        instance: of Dagster.
        partition_key: of the report.
        report: on the candidate.
        gate_run_ids: the Dagster runs that recorded the gate's verdicts. Verdicts of earlier releases do not say what
            they are about; those of the same run are about the same version.

    Returns:
        The reason not to promote it; empty if all of them passed.
    """
    of_data = {CHECKED_DATA: report.data_version}
    of_version = {CHECKED_VERSION: report.version, CHECKED_RUN: report.run_id}
    asked = ((FEEDBACK_DATASET, DATASET_CHECKS, of_data), (TRAINED_MODEL, VERSION_CHECKS, of_version))
    reasons: list[str] = []
    for asset, checks, about in asked:
        counts = partial(_is_about, about, gate_run_ids)
        verdicts = newest_about(instance, partition_key, asset, checks, counts)
        failed = [name for name in checks if name in verdicts and not has_passed(verdicts[name])]
        missing = [name for name in checks if name not in verdicts]
        where = asset.to_user_string()
        if failed:
            reasons.append(f"{', '.join(failed)} on {where} failed for it")
        if missing:
            reasons.append(f"{', '.join(missing)} on {where} said nothing about it")
    return ", and ".join(reasons)


def _is_about(about: Mapping[str, str], gate_run_ids: Collection[str], record: "AssetCheckExecutionRecord") -> bool:
    said = {name: text_of(record, name) for name in about}
    return said == about or (not any(said.values()) and record.run_id in gate_run_ids)
