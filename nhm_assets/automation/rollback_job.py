"""The job `rollback_promotion`, which puts an earlier version back into Production; `nhm rollback` runs it, too."""

from dataclasses import asdict
from typing import Any, Final

from dagster import Config, OpExecutionContext, Out, Output, ResourceParam, in_process_executor, job, op
from pydantic import Field

from nhm_assets.domain.dagster_names import IN_MEMORY, ROLLBACK_JOB
from nhm_assets.domain.errors import RolloutFailed
from nhm_assets.domain.outcomes import OUTCOME_TAG, REASON_TAG, ROLLED_BACK, SPECIALIST_TAG, shortened
from nhm_assets.domain.partitions import parse_specialist
from nhm_assets.promotion.rollback_events import show_rollback
from nhm_assets.registry.audit_log import AUDIT_LOG, who
from nhm_assets.registry.rollback import RollbackRequest, record_restart, roll_back
from nhm_assets.registry.served_order import order_warning
from nhm_assets.rollout.execute import RolloutRequest, execute
from nhm_assets.rollout.target import Target
from nhm_assets.runs.queries import attempts
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo

ROLLBACK_OP: Final = "roll_back_version"
RESTART_OP: Final = "restart_specialist"
WARNING: Final = "warning"
"""Metadata of the first op's output: why the specialists may read the version's answers wrongly."""
NOT_SERVED: Final = "its pods were restarted, but they do not all say that they serve the version"


class RollbackConfig(Config):
    """What the launchpad asks for."""

    specialist: str = Field(description="technical, business, behavior, evolution or architecture.")
    reason: str = Field(description="Why. It is recorded in the audit log and on the version that leaves Production.")
    to: str | None = Field(default=None, description="The version to go back to. Default: the previous one.")


@op(
    out=Out(io_manager_key=IN_MEMORY),
    name=ROLLBACK_OP,
    description=(
        "Puts an earlier version of a specialist's model back into Production. The version that leaves is archived and"
        " marked, so the schedule and the sensor do not promote it again. They promote versions with newer feedback as"
        " usual."
    ),
)
@retry_transient_errors
def roll_back_version(
    context: OpExecutionContext,
    config: RollbackConfig,
    settings: ResourceParam[Settings],
    kubernetes: ResourceParam[Kubernetes],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[dict[str, Any]]:
    """Move the versions in the registry, under the same lock as a promotion."""
    specialist = parse_specialist(config.specialist)
    request = RollbackRequest(
        model=specialist.registered_model,
        reason=config.reason,
        to=config.to,
        fields={"specialist": str(specialist), "dagster_run_id": context.run_id, **who(context.run)},
        attempts=attempts(context.run),
        restarts=kubernetes.configured,
    )
    with mongo.database() as database, mlflow.client() as client:
        log = database[AUDIT_LOG]
        done = roll_back(client, log, request, now=settings.now(), wait_s=settings.promotion_wait_s)
        if entry := log.find_one({"_id": done.audit_id}):
            show_rollback(context.instance, client, log, entry)
        warning = order_warning(client, log, done.model, done.version, settings.served_classes)
    tags = {OUTCOME_TAG: ROLLED_BACK, REASON_TAG: shortened(config.reason), SPECIALIST_TAG: str(specialist)}
    context.instance.add_run_tags(context.run_id, tags)
    before = f"version {done.from_version} is archived" if done.from_version else "it already was, so nothing was moved"
    summary = f"{done.model}: version {done.version} is in Production; {before}"
    context.log.info(summary)
    if warning:
        context.log.warning(warning)
    result = {"specialist": str(specialist), **asdict(done)}
    return Output(result, metadata={**result, "summary": summary, **({WARNING: warning} if warning else {})})


@op(
    out=Out(io_manager_key=IN_MEMORY),
    name=RESTART_OP,
    description=(
        "Restarts the specialist for the version that is back in Production, and asks its pods, as the asset"
        " `specialist_rollout` does. Fails if they do not say that they serve it. Without a cluster it does nothing."
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
    """Load the version into the pods."""
    if not kubernetes.configured:
        summary = (
            "no pods were restarted, because no cluster is configured; the pods load the version at their next restart"
        )
        return Output(summary, metadata={"summary": summary})
    request = RolloutRequest(
        model=rolled_back["model"],
        version=rolled_back["version"],
        dagster_run_id=context.run_id,
        fields={"specialist": rolled_back["specialist"], **who(context.run)},
        rollback=False,
        now=settings.now(),
        promotion_wait_s=settings.promotion_wait_s,
    )
    with mongo.database() as database, mlflow.client() as client, kubernetes.cluster() as cluster:
        target = Target.of(settings, rolled_back["specialist"], cluster, context.log.info)
        result = execute(target, client, database[AUDIT_LOG], request)
        if result.error:
            raise RolloutFailed(result.error)
        if result.serving and not result.serving.loaded:
            raise RolloutFailed(f"{NOT_SERVED}: {result.reason}")
        record_restart(database[AUDIT_LOG], request.model, request.version)
    summary = f"{result.status}: {result.reason}"
    return Output(summary, metadata={"summary": summary})


@job(
    name=ROLLBACK_JOB,
    executor_def=in_process_executor,
    tags={"dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS"},
    description="Puts an earlier version of one specialist back into Production, with a reason for the audit log.",
)
def rollback_promotion() -> None:
    """Only the first op has configuration in the launchpad."""
    restart_specialist(roll_back_version())
