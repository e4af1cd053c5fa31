"""The job `rollback_promotion`, which puts an earlier version back into Production; `nhm rollback` runs it, too."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    Field,
    JobDefinition,
    OpExecutionContext,
    Out,
    Output,
    ResourceParam,
    in_process_executor,
    job,
    op,
)

from nhm_assets.automation.launchpad import FORM, choice, optional_text, prefilled, with_form
from nhm_assets.domain.dagster_names import IN_MEMORY, ROLLBACK_JOB
from nhm_assets.domain.errors import RolloutFailed, UsageError
from nhm_assets.domain.outcomes import OUTCOME_TAG, REASON_TAG, ROLLED_BACK, SPECIALIST_TAG, VERSION_TAG, shortened
from nhm_assets.domain.partitions import parse_specialist
from nhm_assets.promotion.production_models import show_production
from nhm_assets.promotion.rollback_events import show_rollback
from nhm_assets.registry.audit_log import AUDIT_LOG, who
from nhm_assets.registry.rollback import RollbackRequest, record_restart, roll_back
from nhm_assets.registry.served_order import order_warning
from nhm_assets.registry.versions import version_by_alias, version_in_production
from nhm_assets.registry.vocabulary import PREVIOUS_ALIAS
from nhm_assets.rollout.execute import RolloutRequest, execute
from nhm_assets.rollout.target import Target
from nhm_assets.runs.broken_runs import tag_broken_run
from nhm_assets.runs.tags import attempts
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_transient_errors
from resources.kubernetes import Kubernetes
from resources.mlflow import Mlflow
from resources.mongo import Mongo

if TYPE_CHECKING:
    from mlflow import MlflowClient

ROLLBACK_OP: Final = "roll_back_version"
RESTART_OP: Final = "restart_specialist"
WARNING: Final = "warning"
"""Metadata of the first op's output: why the specialists may read the version's answers wrongly."""
NOT_SERVED: Final = "its pods were restarted, but they do not all say that they serve the version"


def fields_of(specialists: Sequence[str]) -> dict[str, Field]:
    """What the launchpad asks for."""
    return {
        "specialist": choice("Specialist", specialists, "Whose version is rolled back."),
        "reason": Field(
            str, description="Why. It is recorded in the audit log and on the version that leaves Production."
        ),
        "to": optional_text(
            "Number of the version to go back to. Choose a partition above to fill in the previous version."
        ),
        "in_production": optional_text(
            "Number of the version that leaves. Choose a partition above to fill in what is in Production now. If"
            " another version is there when the run starts, nothing is moved."
        ),
    }


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """The request, if it can be one.

    Raises:
        UsageError: the reason is empty, or a version is no number.
    """
    if not config["reason"].strip():
        raise UsageError("a rollback needs a reason: say why, for the people who read the audit log")
    for name in ("to", "in_production"):
        if config[name] is not None and not config[name].isdigit():
            raise UsageError(f"{name}: {config[name]!r} is no version: versions are numbers, such as 7")
    return config


@op(
    out=Out(io_manager_key=IN_MEMORY),
    config_schema=FORM,
    description=(
        "Puts an earlier version of a specialist's model back into Production. The version that leaves is archived and"
        " marked, so the schedule and the sensor do not promote it again. They promote versions with newer feedback as"
        " usual."
    ),
)
@retry_transient_errors
def move_back(
    context: OpExecutionContext,
    settings: ResourceParam[Settings],
    kubernetes: ResourceParam[Kubernetes],
    mlflow: ResourceParam[Mlflow],
    mongo: ResourceParam[Mongo],
) -> Output[dict[str, Any]]:
    """Move the versions in the registry, under the same lock as a promotion."""
    asked = context.op_config
    specialist = parse_specialist(asked["specialist"])
    request = RollbackRequest(
        model=specialist.registered_model,
        reason=asked["reason"],
        to=asked["to"],
        fields={"specialist": str(specialist), "dagster_run_id": context.run_id, **who(context.run)},
        attempts=attempts(context.run),
        restarts=kubernetes.configured,
    )
    with mongo.database() as database, mlflow.client() as client:
        log = database[AUDIT_LOG]
        _require_in_production(client, request, asked["in_production"])
        done = roll_back(client, log, request, now=settings.now(), wait_s=settings.promotion_wait_s)
        if entry := log.find_one({"_id": done.audit_id}):
            show_rollback(context.instance, client, log, entry)
        show_production(context.instance, mongo, mlflow, settings, warn=context.log.warning)
        warning = order_warning(client, log, done.model, done.version, settings.served_classes)
    tags = {OUTCOME_TAG: ROLLED_BACK, REASON_TAG: shortened(asked["reason"]), SPECIALIST_TAG: str(specialist)}
    tags[VERSION_TAG] = done.version
    context.instance.add_run_tags(context.run_id, tags)
    nothing = "stages and aliases were put right" if done.audit_id else "it already was, so nothing was moved"
    before = f"version {done.from_version} is archived" if done.from_version else nothing
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


def _require_in_production(client: "MlflowClient", request: RollbackRequest, expected: str | None) -> None:
    """Refuse if another version is in Production than the launchpad showed. A repeated request finds its own work."""
    champion = version_in_production(client, request.model) if expected else None
    if champion and str(champion.version) not in (expected, request.to):
        raise UsageError(
            f"{request.model} version {champion.version} is in Production, not version {expected}, so nothing was"
            " moved. Open the launchpad again to see what is there now"
        )


def _in_production_and_before(client: "MlflowClient", model: str) -> dict[str, Any]:
    # The reason is missing on purpose: the launchpad asks for it.
    champion = version_in_production(client, model)
    return {
        "in_production": str(champion.version) if champion else None,
        "to": version_by_alias(client, model, PREVIOUS_ALIAS),
    }


def rollback_job(settings: Settings, specialists: Sequence[str]) -> JobDefinition:
    """The job `rollback_promotion`.

    Its partitions are the specialists: whoever chooses one in the launchpad gets a form with its versions.
    """
    roll_back_version = with_form(move_back, ROLLBACK_OP, fields_of(specialists), checked)

    @job(
        name=ROLLBACK_JOB,
        hooks={tag_broken_run},
        executor_def=in_process_executor,
        config=prefilled(settings, specialists, ROLLBACK_OP, _in_production_and_before),
        tags={"dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS"},
        description=(
            "Puts an earlier version of one specialist back into Production, with a reason for the audit log. In the"
            " launchpad, choose the specialist as partition: the form then shows the version in Production and the"
            " previous one, and only the reason is left to fill in."
        ),
    )
    def rollback_promotion() -> None:
        restart_specialist(roll_back_version())

    return rollback_promotion
