"""The one job that retrains, however it is started."""

from dagster import (
    AssetSelection,
    HookContext,
    define_asset_job,
    failure_hook,
    in_process_executor,
)

from nhm_assets.names import GROUP, JOB
from nhm_assets.outcomes import OUTCOME_TAG, Outcome
from nhm_assets.partitions import specialist_weeks


@failure_hook(name="tag_broken_run")
def tag_broken_run(context: HookContext) -> None:
    """Tag the run of a failed step as broken, so that it is never taken for a held candidate."""
    context.instance.add_run_tags(context.run_id, {OUTCOME_TAG: str(Outcome.BROKEN)})


specialist_retraining = define_asset_job(
    JOB,
    selection=AssetSelection.groups(GROUP),
    partitions_def=specialist_weeks,
    # A run is one partition and a few seconds of work: processes of its own would cost more than they give.
    executor_def=in_process_executor,
    hooks={tag_broken_run},
    tags={"dagster/retry_on_asset_or_op_failure": "false"},
    description=(
        "Retrain one specialist on the feedback of one window: build the dataset, fit and register a candidate,"
        " evaluate it beside the version in Production, and promote it where every gate check passes."
    ),
)
