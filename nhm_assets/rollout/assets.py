"""The asset of the rollout stage."""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetOut,
    MetadataValue,
    Output,
    ResourceParam,
    multi_asset,
)

from nhm_assets.domain.dagster_names import GROUP, SPECIALIST_ROLLOUT
from nhm_assets.domain.errors import RolloutFailed
from nhm_assets.domain.partitions import specialist_weeks
from nhm_assets.domain.records import Promotion, Rollout
from nhm_assets.registry.audit_log import AUDIT_LOG, actor
from nhm_assets.registry.versions import version_if_any
from nhm_assets.rollout.checks import loaded_verdict, models_loaded_checks, verdict_on
from nhm_assets.rollout.execute import Result, RolloutRequest, roll_out
from nhm_assets.rollout.markdown import pods_table
from nhm_assets.rollout.serving import Expected
from nhm_assets.rollout.status_probe import pods_serving
from nhm_assets.rollout.target import Target
from nhm_assets.runs.queries import attempts
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_results
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo

_NAME = SPECIALIST_ROLLOUT.to_user_string()
_NOT_CONFIGURED = "no cluster is configured (KUBECONFIG, or a pod's own), so nothing was restarted and no pod was asked"


# One asset, yet declared as several can be: so its check may stay without a result where nobody was asked.
@multi_asset(
    name=_NAME,
    outs={
        _NAME: AssetOut(
            group_name=GROUP,
            io_manager_key="records",
            is_required=False,
            kinds={"kubernetes"},
            description=(
                "The specialist's Deployment restarted for the promoted version, one specialist at a time, and seen to"
                " its end: old and new ReplicaSet, pods, seconds, and what the pods say they have loaded. A version"
                " that runs already restarts nothing. Without a cluster it says `not configured` and does nothing."
            ),
        )
    },
    check_specs=models_loaded_checks,
    can_subset=True,
    partitions_def=specialist_weeks,
)
@retry_transient_errors
def specialist_rollout(
    context: AssetExecutionContext,
    promoted_version: Promotion,
    settings: ResourceParam[Settings],
    kubernetes: ResourceParam[Kubernetes],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Iterator[Output[Rollout] | AssetCheckResult]:
    """Restart, ask the pods, and yield record and verdict together."""
    target = Target.of(settings, promoted_version.specialist)
    wanted = bool(context.selected_asset_check_keys)
    if not kubernetes.configured:
        context.log.warning(_NOT_CONFIGURED)
        if SPECIALIST_ROLLOUT in context.selected_asset_keys:
            yield _output(_not_configured(promoted_version))
        return
    if SPECIALIST_ROLLOUT not in context.selected_asset_keys:
        with kubernetes.cluster() as cluster, mlflow.client() as client:
            made_by = version_if_any(client, promoted_version.model, promoted_version.version)
            expected = Expected(target.specialist, promoted_version.version, made_by.run_id if made_by else None)
            yield from check_results(SPECIALIST_ROLLOUT, [loaded_verdict(pods_serving(cluster, target, expected))])
        return
    order = _order(context, promoted_version, settings)
    with mongo.database() as database, mlflow.client() as client, kubernetes.cluster() as cluster:
        result = roll_out(cluster, client, database[AUDIT_LOG], target, order, context.log.info)
    if not result.broken:
        yield _output(_record(promoted_version, target, result), result)
    verdict = verdict_on(result)
    if verdict and wanted:
        yield from check_results(SPECIALIST_ROLLOUT, [verdict])
    if result.broken:
        raise RolloutFailed(result.broken)


def _order(context: AssetExecutionContext, promotion: Promotion, settings: Settings) -> RolloutRequest:
    return RolloutRequest(
        model=promotion.model,
        version=promotion.version,
        dagster_run_id=context.run_id,
        fields={"specialist": promotion.specialist, "week": promotion.week, "actor": actor(context.run)},
        rollback=settings.rollback_on_failed_rollout,
        now=settings.now(),
        promotion_wait_s=settings.promotion_wait_s,
        attempts=attempts(context.run),
    )


def _not_configured(promotion: Promotion) -> Rollout:
    return Rollout(
        **promotion.model_dump(include={"specialist", "week", "model", "version"}),
        namespace=None,
        deployment=None,
        status="not configured",
        old_replica_set=None,
        new_replica_set=None,
        pods=[],
        seconds=0.0,
        loaded=None,
        proven=None,
        reason=_NOT_CONFIGURED,
    )


def _record(promotion: Promotion, target: Target, result: Result) -> Rollout:
    return Rollout.model_validate(
        {
            **promotion.model_dump(include={"specialist", "week", "model", "version"}),
            "namespace": target.namespace,
            "deployment": target.deployment,
            "status": result.status,
            "old_replica_set": result.restart.old if result.restart else None,
            "new_replica_set": result.restart.new if result.restart else None,
            "pods": list(result.restart.pods) if result.restart else [],
            "seconds": round(result.seconds, 3),
            "loaded": result.serving.loaded if result.serving else None,
            "proven": result.serving.proven if result.serving else None,
            "reason": result.reason,
        }
    )


def _output(rollout: Rollout, result: Result | None = None) -> Output[Rollout]:
    metadata: dict[str, Any] = {
        name: value for name, value in rollout.model_dump(mode="json").items() if value is not None
    }
    if result and result.serving:
        metadata["models"] = MetadataValue.md(pods_table(result.serving))
    return Output(rollout, output_name=_NAME, metadata=metadata)
