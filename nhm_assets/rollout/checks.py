"""The check on `specialist_rollout`: the pods themselves say that the model is loaded."""

from typing import Final

from dagster import MetadataValue

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dagster_names import SPECIALIST_ROLLOUT
from nhm_assets.rollout.execute import Result
from nhm_assets.rollout.markdown import pods_table
from nhm_assets.rollout.serving import Serving
from nhm_assets.steps.asset_checks import check_specs

MODELS_LOADED: Final = "models_loaded"

models_loaded_checks = check_specs(
    SPECIALIST_ROLLOUT,
    {
        MODELS_LOADED: "Every ready pod of the specialist answers `/status` with SERVING, model_loaded and"
        " mlflow_connected, and, where it says which version it has loaded, with the promoted one. Where it does not"
        " say, the model counts as loaded but unproven. Nothing is judged where no cluster is configured or the"
        " Deployment has no pods. Executed by itself, it asks the pods again and restarts nothing."
    },
)


def loaded_verdict(serving: Serving) -> Verdict:
    """The verdict on what the pods said."""
    figures = {
        "pods": MetadataValue.md(pods_table(serving)),
        "version": serving.expected.version,
        "loaded": f"{sum(one.loaded for one in serving.pods)} of {len(serving.pods)}",
        "proven": serving.proven,
    }
    return Verdict(MODELS_LOADED, serving.loaded, serving.reason, figures)


def verdict_on(result: Result) -> Verdict | None:
    """The verdict on a rollout; None where there is nothing to judge."""
    if result.serving is not None:
        return loaded_verdict(result.serving)
    return Verdict(MODELS_LOADED, passed=False, reason=result.reason) if result.broken else None
