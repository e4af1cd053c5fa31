"""The job `rollback_promotion`: an earlier version back into Production, by the launchpad or `nhm rollback`."""

from typing import Any, Final

from dagster import Config, OpExecutionContext, Out, Output, ResourceParam, in_process_executor, job, op
from pydantic import Field

from nhm_assets.domain.dagster_names import IN_MEMORY, ROLLBACK_JOB
from nhm_assets.domain.errors import RolloutFailed
from nhm_assets.domain.partitions import parse_specialist
from nhm_assets.registry.audit_log import AUDIT_LOG, actor
from nhm_assets.registry.rollback import RollbackRequest, roll_back
from nhm_assets.rollout.execute import RolloutRequest, roll_out
from nhm_assets.rollout.target import Target
from nhm_assets.runs.queries import attempts
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo

ROLLBACK_OP: Final = "roll_back_version"
RESTART_OP: Final = "restart_specialist"


class RollbackConfig(Config):
    """What the launchpad asks for."""

    specialist: str = Field(description="technical, business, behavior, evolution or architecture.")
    reason: str = Field(description="Why; people read it in the audit log, and on the version that leaves.")
    to: str | None = Field(default=None, description="Version to go back to; default: the previous one.")


@op(
    out=Out(io_manager_key=IN_MEMORY),
    name=ROLLBACK_OP,
    description=(
        "Puts an earlier version of a specialist's model back into Production. The version that leaves is Archived and"
        " marked: neither schedule nor sensor promotes it again. One with newer feedback is promoted as usual."
    ),
)
@retry_transient_errors
def roll_back_version(
    context: OpExecutionContext,
    config: RollbackConfig,
    settings: ResourceParam[Settings],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[dict[str, Any]]:
    """Move the registry back, under the same lock as a promotion."""
    specialist = parse_specialist(config.specialist)
    request = RollbackRequest(
        model=specialist.registered_model,
        reason=config.reason,
        to=config.to,
        fields={"specialist": str(specialist), "dagster_run_id": context.run_id, "actor": actor(context.run)},
        attempts=attempts(context.run),
    )
    with mongo.database() as database, mlflow.client() as client:
        done = roll_back(client, database[AUDIT_LOG], request, now=settings.now(), wait_s=settings.promotion_wait_s)
    said = f"{done.model}: version {done.version} is in Production" + (
        f", version {done.left} left it" if done.left else " already; nothing was moved"
    )
    context.log.info(said)
    result = {
        "specialist": str(specialist),
        "model": done.model,
        "version": done.version,
        "left": done.left,
        "audit_id": done.audit_id,
    }
    return Output(result, metadata={**result, "said": said})


@op(
    out=Out(io_manager_key=IN_MEMORY),
    name=RESTART_OP,
    description=(
        "Restarts the specialist for the version that is in Production again, and asks its pods, as the asset"
        " `specialist_rollout` does. Without a cluster it says so and does nothing."
    ),
)
@retry_transient_errors
def restart_specialist(
    context: OpExecutionContext,
    rolled_back: dict[str, Any],
    settings: ResourceParam[Settings],
    kubernetes: ResourceParam[Kubernetes],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[str]:
    """Follow the registry with the pods."""
    if not kubernetes.configured:
        said = "no cluster is configured: they load the version at their next restart"
        return Output(said, metadata={"said": said})
    target = Target.of(settings, rolled_back["specialist"])
    order = RolloutRequest(
        model=rolled_back["model"],
        version=rolled_back["version"],
        dagster_run_id=context.run_id,
        fields={"specialist": rolled_back["specialist"], "actor": actor(context.run)},
        rollback=False,
        now=settings.now(),
        promotion_wait_s=settings.promotion_wait_s,
    )
    with mongo.database() as database, mlflow.client() as client, kubernetes.cluster() as cluster:
        result = roll_out(cluster, client, database[AUDIT_LOG], target, order, context.log.info)
    if result.broken:
        raise RolloutFailed(result.broken)
    said = f"{result.status}: {result.reason}"
    return Output(said, metadata={"said": said})


@job(
    name=ROLLBACK_JOB,
    executor_def=in_process_executor,
    tags={"dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS"},
    description="Back to an earlier Production version of one specialist, with a reason for the audit log.",
)
def rollback_promotion() -> None:
    """Only the first op has something to ask in the launchpad."""
    restart_specialist(roll_back_version())
