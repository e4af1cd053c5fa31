"""The check on `promoted_version`: the registry shows what was promoted."""

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
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.mlflow import Mlflow

if TYPE_CHECKING:
    from mlflow import MlflowClient

DESCRIPTIONS = {
    "registry_consistent": "One version is in stage Production, and the alias `production` names it. It is the version"
    " of this partition or of a newer window. The alias `previous` names an Archived version.",
}


@multi_asset_check(name="promoted_version_checks", specs=check_specs(PROMOTED_VERSION, DESCRIPTIONS), can_subset=True)
@retry_transient_errors
def promoted_version_checks(
    context: AssetCheckExecutionContext,
    promoted_version: Promotion,
    settings: ResourceParam[Settings],  # noqa: ARG001 - for retry_transient_errors
    mlflow: ResourceParam[Mlflow],
) -> Iterator[AssetCheckResult]:
    """Compare the registry with the promotion."""
    with mlflow.client() as client:
        verdict = _judge(client, promoted_version)
    yield from selected_results(context, PROMOTED_VERSION, [verdict])


def _judge(client: "MlflowClient", promotion: Promotion) -> Verdict:
    champion = version_in_production(client, promotion.model)
    if champion is None:
        return Verdict("registry_consistent", passed=False, reason=f"No version of {promotion.model} is in Production.")
    number, end = str(champion.version), window_end(champion)
    faults = registry_faults(client, promotion.model, number)
    if number != promotion.version and (end is None or end < promotion.window_end):
        faults.append(f"version {number} of an older window replaced version {promotion.version}")
    reason = (
        f"The registry is inconsistent: {'; '.join(faults)}."
        if faults
        else f"Version {number} is in Production, by stage and by alias."
    )
    return Verdict("registry_consistent", not faults, reason, {"production": number})
