"""The job that retrains a specialist. The command, the schedule, the sensor and the UI all run this job."""

from dagster import AssetSelection, ExecutorDefinition, HookContext, define_asset_job, failure_hook

from nhm_assets.domain.dagster_internals import UnresolvedAssetJobDefinition
from nhm_assets.domain.dagster_names import GROUP, JOB
from nhm_assets.domain.outcomes import broken_tags
from nhm_assets.runs.failure_cause import failure_of
from nhm_assets.settings import Settings


@failure_hook(name="tag_broken_run")
def tag_broken_run(context: HookContext) -> None:
    """Tag the run of a failed step as broken, with the cause, so that it does not look like a held candidate."""
    run = context.instance.get_run_by_id(context.run_id)
    if run is None:
        return
    failure = failure_of(context.instance, run)
    context.instance.add_run_tags(context.run_id, broken_tags(failure.by, failure.reason, transient=failure.transient))


def retraining_job(settings: Settings, executor: ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    """The job `specialist_retraining` with these settings."""
    return define_asset_job(
        JOB,
        selection=AssetSelection.groups(GROUP),
        executor_def=executor,
        hooks={tag_broken_run},
        tags={
            "dagster/max_runtime": str(settings.max_run_seconds),
            # A failed check or asset stays failed until a person or new feedback changes something. If the process of
            # a run died, the run starts again from its first step, which reuses what is done.
            "dagster/retry_on_asset_or_op_failure": "false",
            "dagster/retry_strategy": "ALL_STEPS",
        },
        description=(
            "Retrains one specialist on the feedback of one window: builds the dataset, trains and registers a model,"
            " compares it with the version in Production, and promotes it if every gate check passes. If a cluster is"
            " configured, restarts the specialist to load it."
        ),
    )
