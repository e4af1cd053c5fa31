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

from nhm_assets.domain.asset_keys import SPECIALIST_ROLLOUT
from nhm_assets.domain.dagster_names import GROUP
from nhm_assets.domain.errors import RolloutFailed
from nhm_assets.domain.records import Promotion, Rollout
from nhm_assets.registry.audit_log import AUDIT_LOG, who
from nhm_assets.rollout.checks import loaded_verdict, models_loaded_checks, verdict_on
from nhm_assets.rollout.execute import Result, RolloutRequest, execute
from nhm_assets.rollout.serving import pods_table
from nhm_assets.rollout.status_probe import ask_for_version
from nhm_assets.rollout.target import Target
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.log_lines import name_version
from nhm_assets.runs.tags import attempts
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_checks import check_results
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo

_NAME = SPECIALIST_ROLLOUT.to_user_string()
_NOT_CONFIGURED = Result(
    "not configured",
    "no cluster is configured (KUBECONFIG is not set, and this is not a pod), so no pod was restarted or asked",
)


# A multi-asset, because the check of a normal asset must always have a result.
@multi_asset(
    name=_NAME,
    outs={
        _NAME: AssetOut(
            group_name=GROUP,
            io_manager_key="records",
            is_required=False,
            kinds={"kubernetes"},
            description=(
                "Restarts the specialist's Deployment for the promoted version, one specialist at a time, and waits"
                " until it is done. Records the old and new ReplicaSet, the pods, the seconds, and which version the"
                " pods report. Restarts nothing if the version is already loaded. Without a cluster it does nothing,"
                " and its status is `not configured`."
            ),
        )
    },
    check_specs=models_loaded_checks,
    can_subset=True,
    hooks={tag_broken_run},
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
    name_version(promoted_version.version)
    promotion, is_selected = promoted_version, SPECIALIST_ROLLOUT in context.selected_asset_keys
    if not kubernetes.configured:
        context.log.warning(_NOT_CONFIGURED.reason)
        if is_selected:
            yield _output(promotion, _NOT_CONFIGURED)
        return
    if not is_selected:
        with kubernetes.cluster() as cluster, mlflow.client() as client:
            target = Target.of(settings, promotion.specialist, cluster)
            serving = ask_for_version(target, client, promotion.model, promotion.version)
        yield from check_results(SPECIALIST_ROLLOUT, [loaded_verdict(serving)], context.partition_key)
        return
    request = RolloutRequest(
        model=promotion.model,
        version=promotion.version,
        dagster_run_id=context.run_id,
        fields={"specialist": promotion.specialist, "week": promotion.week, **who(context.run)},
        rollback=settings.rollback_on_failed_rollout,
        now=settings.now(),
        promotion_wait_s=settings.promotion_wait_s,
        attempts=attempts(context.run),
        served_classes=settings.served_classes,
    )
    with mongo.database() as database, mlflow.client() as client, kubernetes.cluster() as cluster:
        target = Target.of(settings, promotion.specialist, cluster, context.log.info)
        result = execute(target, client, database[AUDIT_LOG], request)
    if not result.error:
        yield _output(promotion, result, target)
    verdict = verdict_on(result)
    if verdict and context.selected_asset_check_keys:
        yield from check_results(SPECIALIST_ROLLOUT, [verdict], context.partition_key)
    if result.error:
        raise RolloutFailed(result.error)


def _output(promotion: Promotion, result: Result, target: Target | None = None) -> Output[Rollout]:
    restart, serving = result.restart, result.serving
    rollout = Rollout.model_validate(
        {
            **promotion.model_dump(include={"specialist", "week", "model", "version"}),
            "namespace": target.namespace if target else None,
            "deployment": target.deployment if target else None,
            "status": result.status,
            "old_replica_set": restart.old if restart else None,
            "new_replica_set": restart.new if restart else None,
            "pods": list(restart.pods) if restart else [],
            "seconds": round(result.seconds, 3),
            "loaded": serving.loaded if serving else None,
            "proven": serving.proven if serving else None,
            "reason": result.reason,
        }
    )
    metadata: dict[str, Any] = rollout.model_dump(mode="json", exclude_none=True, exclude={"schema_version"})
    if serving:
        metadata["models"] = MetadataValue.md(pods_table(serving))
    return Output(rollout, output_name=_NAME, metadata=metadata)
