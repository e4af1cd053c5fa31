"""The check on `promoted_version`: the registry shows what was promoted."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetCheckExecutionContext, AssetCheckResult, ResourceParam, multi_asset_check

from nhm_assets.domain.asset_keys import PROMOTED_VERSION
from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.records import Promotion
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.foreign_moves import pointer_of, remedy
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_in_production, window_end
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_specs, selected_results
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.mlflow import Mlflow
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

REGISTRY_CONSISTENT: Final = "registry_consistent"
DESCRIPTIONS = {
    REGISTRY_CONSISTENT: "One version is in stage Production, the alias `production` names it, and the audit log"
    " recorded that move: nobody else moved the pointer. The alias `previous` names an Archived version.",
}


@multi_asset_check(name="promoted_version_checks", specs=check_specs(PROMOTED_VERSION, DESCRIPTIONS), can_subset=True)
@retry_transient_errors
def promoted_version_checks(
    context: AssetCheckExecutionContext,
    promoted_version: Promotion,
    settings: ResourceParam[Settings],  # noqa: ARG001 - for retry_transient_errors
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Iterator[AssetCheckResult]:
    """Compare the registry with the promotion and with the audit log."""
    with mongo.database() as database, mlflow.client() as client:
        promotion = promoted_version
        verdict = registry_verdict(client, database[AUDIT_LOG], promotion.specialist, promotion.model, promotion)
    yield from selected_results(context, PROMOTED_VERSION, [verdict])


def registry_verdict(
    client: "MlflowClient",
    log: "Collection[dict[str, Any]]",
    specialist: str,
    model: str,
    promotion: Promotion | None = None,
) -> Verdict:
    """Whether stage, alias and audit log agree on the version in Production.

    The promotion of the partition counts only where the audit log knows no move: then no older window may be there.
    """
    check, pointer = REGISTRY_CONSISTENT, pointer_of(client, log, model)
    figures = {"production": ", ".join(pointer.stage), "alias": pointer.alias, "audited": pointer.audited}
    if pointer.is_foreign:
        reason = f"{pointer.sentence}. {remedy(client, specialist, pointer)}."
        return Verdict(check, passed=False, reason=reason, figures=figures)
    champion = version_in_production(client, model)
    if champion is None:
        return Verdict(check, passed=False, reason=f"No version of {model} is in Production.")
    number, end = str(champion.version), window_end(champion)
    faults = registry_faults(client, model, number)
    if pointer.audited is None and promotion and number != promotion.version and _is_older(end, promotion):
        faults.append(f"version {number} of an older window replaced version {promotion.version}")
    by = "by stage, by alias and by the audit log" if pointer.audited else "by stage and by alias"
    reason = (
        f"The registry is inconsistent: {'; '.join(faults)}." if faults else f"Version {number} is in Production, {by}."
    )
    return Verdict(check, not faults, reason, figures)


def _is_older(window_end: datetime | None, promotion: Promotion) -> bool:
    return window_end is None or window_end < promotion.window_end
