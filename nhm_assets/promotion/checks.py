"""The check on `promoted_version`: what the registry shows is what was promoted."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dagster import AssetCheckExecutionContext, AssetCheckResult, ResourceParam, multi_asset_check

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dagster_names import PROMOTED_VERSION
from nhm_assets.domain.records import Promotion
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_in_production, window_end
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_specs, selected_results
from nhm_assets.steps.retry_policy import tries_again
from resources.mlflow import Mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESCRIPTIONS = {
    "registry_consistent": "One version is in stage Production, the alias `production` names the same one, `previous`"
    " names an archived one, and it is this partition's version or one with a newer window.",
}


@multi_asset_check(name="promoted_version_checks", specs=check_specs(PROMOTED_VERSION, DESCRIPTIONS), can_subset=True)
@tries_again
def promoted_version_checks(
    context: AssetCheckExecutionContext,
    promoted_version: Promotion,
    settings: ResourceParam[Settings],  # noqa: ARG001 - read by tries_again
    mlflow: ResourceParam[Mlflow],
) -> Iterator[AssetCheckResult]:
    """Read the registry back."""
    with mlflow.client() as client:
        verdict = _judge(client, promoted_version)
    yield from selected_results(context, PROMOTED_VERSION, [verdict])


def _judge(client: "MlflowClient", promotion: Promotion) -> Verdict:
    serving = version_in_production(client, promotion.model)
    if serving is None:
        return Verdict("registry_consistent", passed=False, reason=f"no version of {promotion.model} is in Production")
    number, end = str(serving.version), window_end(serving)
    faults = registry_faults(client, promotion.model, number)
    if number != promotion.version and (end is None or end < promotion.window_end):
        faults.append(f"version {number}, of an older window, displaced version {promotion.version}")
    reason = "; ".join(faults) or f"version {number} is in Production, by stage and by alias"
    return Verdict("registry_consistent", not faults, reason, {"production": number})
