"""The one job that retrains, however it is started."""

from dagster import (
    AssetSelection,
    ExecutorDefinition,
    HookContext,
    define_asset_job,
    failure_hook,
)

from nhm_assets.domain.dagster_internals import UnresolvedAssetJobDefinition
from nhm_assets.domain.dagster_names import GROUP, JOB
from nhm_assets.domain.outcomes import broken_tags
from nhm_assets.domain.partitions import specialist_weeks
from nhm_assets.runs.failure_cause import failure_of
from nhm_assets.settings import Settings


@failure_hook(name="tag_broken_run")
def tag_broken_run(context: HookContext) -> None:
    """Tag the run of a failed step as broken, and by what, so that it is never taken for a held candidate."""
    run = context.instance.get_run_by_id(context.run_id)
    if run is None:
        return
    failure = failure_of(context.instance, run)
    context.instance.add_run_tags(context.run_id, broken_tags(failure.by, failure.reason))


def retraining_job(settings: Settings, executor: ExecutorDefinition) -> UnresolvedAssetJobDefinition:
    """The job `specialist_retraining` under these settings."""
    return define_asset_job(
        JOB,
        selection=AssetSelection.groups(GROUP),
        partitions_def=specialist_weeks,
        executor_def=executor,
        hooks={tag_broken_run},
        tags={
            "dagster/max_runtime": str(settings.max_run_seconds),
            # A failed check or asset is final until a person or new feedback changes something; a run whose process
            # died starts over as a whole, since all that it had done is found again.
            "dagster/retry_on_asset_or_op_failure": "false",
            "dagster/retry_strategy": "ALL_STEPS",
        },
        description=(
            "Retrain one specialist on the feedback of one window: build the dataset, fit and register a candidate,"
            " evaluate it beside the version in Production, promote it where every gate check passes, and restart the"
            " specialist for it where a cluster is configured."
        ),
    )
