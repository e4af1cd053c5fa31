"""The job that retrains a specialist. The command, the schedule, the sensor and the UI all run this job."""

from dagster import AssetSelection, ExecutorDefinition, define_asset_job

from nhm_assets.domain.dagster_internals import UnresolvedAssetJobDefinition
from nhm_assets.domain.dagster_names import GROUP, JOB
from nhm_assets.runs.broken_runs import run_rules, tag_broken_run
from nhm_assets.settings import Settings


def retraining_job(settings: Settings, executor: ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    """The job `specialist_retraining` with these settings."""
    return define_asset_job(
        JOB,
        selection=AssetSelection.groups(GROUP),
        executor_def=executor,
        hooks={tag_broken_run},
        tags=run_rules(settings),
        description=(
            "Retrains one specialist on the feedback of one window: builds the dataset, trains and registers a model,"
            " compares it with the version in Production, and promotes it if every gate check passes. If a cluster is"
            " configured, restarts the specialist to load it."
        ),
    )
