"""What holds for every retraining, whatever started it: its rules, and a hook for broken runs.

The hook tags the run of a failed step as broken, with the cause, so that it does not look like a held candidate.
The assets carry the hook themselves: a run that somebody starts from an asset's page, or from the global graph, belongs
to no job of ours. The job carries it too, for the steps of its checks; Dagster calls it once.
"""

from dagster import HookContext, failure_hook

from nhm_assets.domain.outcomes import broken_tags
from nhm_assets.runs.failure_cause import failure_of
from nhm_assets.settings import Settings


def run_rules(settings: Settings) -> dict[str, str]:
    """Tags by which Dagster limits and retries a retraining."""
    return {
        "dagster/max_runtime": str(settings.max_run_seconds),
        # A failed check or asset stays failed until a person or new feedback changes something. If the process of
        # a run died, the run starts again from its first step, which reuses what is done.
        "dagster/retry_on_asset_or_op_failure": "false",
        "dagster/retry_strategy": "ALL_STEPS",
    }


@failure_hook(name="tag_broken_run")
def tag_broken_run(context: HookContext) -> None:
    """Tag the run with what broke it, and the reason."""
    run = context.instance.get_run_by_id(context.run_id)
    if run is None:
        return
    failure = failure_of(context.instance, run)
    context.instance.add_run_tags(context.run_id, broken_tags(failure.by, failure.reason, transient=failure.transient))
