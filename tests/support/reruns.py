"""Runs of the job, started as by the launchpad, by a re-execution, or by a retry of Dagster."""

from collections.abc import Mapping
from typing import Any

from dagster import AssetKey, ExecuteInProcessResult

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.registry.versions import all_versions
from tests.support.documents import WEEK
from tests.support.platform import QUIET, Platform

FORCE: Mapping[str, Any] = {"ops": {"trained_model": {"config": {"force": True}}}}
"""Run config of the launchpad for a forced training."""


def launch(
    platform: Platform,
    specialist: str = "technical",
    week: str = WEEK,
    *,
    config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    only: list[str] | None = None,
) -> ExecuteInProcessResult:
    """Run the job for one partition with this run config and these tags."""
    job = build_definitions(platform.settings).resolve_job_def(JOB)
    return job.execute_in_process(
        partition_key=Partition.parse(week, specialist).key,
        instance=platform.instance,
        raise_on_error=False,
        run_config={**QUIET, **(config or {})},
        tags=dict(tags or {}),
        asset_selection=[AssetKey(name) for name in only] if only else None,
    )


def reexecution_of(result: ExecuteInProcessResult) -> dict[str, str]:
    """The tags of a run that a person starts from the page of an earlier run."""
    return {"dagster/parent_run_id": result.run_id, "dagster/root_run_id": result.run_id}


def retry_of(result: ExecuteInProcessResult) -> dict[str, str]:
    """The tags of a run that Dagster starts because the process of an earlier run died."""
    return {**reexecution_of(result), "dagster/retry_number": "1"}


def counted(platform: Platform, specialist: str = "technical") -> dict[str, int]:
    """Number of versions, MLflow runs and documents that the platform wrote."""
    with platform.mlflow.client() as client:
        experiment = client.get_experiment_by_name(f"{specialist}-specialist")
        database = platform.database
        return {
            "versions": len(all_versions(client, f"{specialist}-evaluator")),
            "MLflow runs": len(client.search_runs([experiment.experiment_id])),
            **{name: database[name].count_documents({}) for name in database.list_collection_names()},
        }
