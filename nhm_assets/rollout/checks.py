"""The check on `specialist_rollout`: the pods themselves report that the model is loaded."""

from typing import Final

from dagster import MetadataValue

from nhm_assets.domain.asset_keys import SPECIALIST_ROLLOUT
from nhm_assets.domain.check_result import Verdict
from nhm_assets.rollout.execute import Result
from nhm_assets.rollout.serving import Serving, pods_table
from nhm_assets.steps.asset_checks import check_specs

MODELS_LOADED: Final = "models_loaded"

models_loaded_checks = check_specs(
    SPECIALIST_ROLLOUT,
    {
        MODELS_LOADED: "Every pod of the specialist is ready and answers `/status` with SERVING, model_loaded and"
        " mlflow_connected. If a pod reports its version, that must be the promoted one; if it does not, the model"
        " counts as loaded but unproven. Without a cluster or without pods, there is no result. If you run only this"
        " check, it asks the pods again and restarts nothing."
    },
)


def loaded_verdict(serving: Serving) -> Verdict:
    """The verdict on what the pods report."""
    figures = {
        "pods": MetadataValue.md(pods_table(serving)),
        "version": serving.expected.version,
        "loaded": f"{sum(pod.loaded for pod in serving.pods)} of {len(serving.pods)}",
        "proven": serving.proven,
    }
    return Verdict(MODELS_LOADED, serving.loaded, serving.reason, figures)


def verdict_on(result: Result) -> Verdict | None:
    """The verdict on a rollout; None if there is nothing to judge."""
    if result.serving:
        return loaded_verdict(result.serving)
    return Verdict(MODELS_LOADED, passed=False, reason=result.reason) if result.error else None
