"""By what a run was broken: the service, the data, the code, or whoever killed it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dagster import DagsterEventType, DagsterInstance

from nhm_assets.domain.outcomes import BrokenBy

if TYPE_CHECKING:
    from dagster import DagsterRun

    from nhm_assets.domain.dagster_internals import SerializableErrorInfo

_BY_ERROR: Final = {
    "MongoUnavailable": BrokenBy.MONGODB,
    "MongoRefused": BrokenBy.MONGODB,
    "LockLost": BrokenBy.MONGODB,
    "EmbeddedMongoError": BrokenBy.MONGODB,
    "OperationFailure": BrokenBy.MONGODB,
    "ExecutionTimeout": BrokenBy.MONGODB,
    "CursorNotFound": BrokenBy.MONGODB,
    "WriteError": BrokenBy.MONGODB,
    "BulkWriteError": BrokenBy.MONGODB,
    "WTimeoutError": BrokenBy.MONGODB,
    "MlflowUnavailable": BrokenBy.MLFLOW,
    "MlflowRefused": BrokenBy.MLFLOW,
    "IncompatibleMlflow": BrokenBy.MLFLOW,
    "RegistryError": BrokenBy.MLFLOW,
    "MlflowException": BrokenBy.MLFLOW,
    "RestException": BrokenBy.MLFLOW,
    "KubernetesUnavailable": BrokenBy.KUBERNETES,
    "KubernetesRefused": BrokenBy.KUBERNETES,
    "RolloutFailed": BrokenBy.KUBERNETES,
    "RolloutRefused": BrokenBy.KUBERNETES,
    "ApiException": BrokenBy.KUBERNETES,
    "StorageError": BrokenBy.STORAGE,
    "DataError": BrokenBy.DATA,
    "InvalidPlan": BrokenBy.DATA,
    "DagsterAssetCheckFailedError": BrokenBy.DATA,
    "PromotionRefused": BrokenBy.REFUSED,
    "UsageError": BrokenBy.REFUSED,
    "DagsterExecutionInterruptedError": BrokenBy.KILLED,
}
"""Class of what was raised -> what broke the run. Of an error that nobody foresaw, the code is to blame."""


@dataclass(frozen=True)
class Failure:
    """What broke a run, and the sentence that says so."""

    by: BrokenBy
    reason: str


def failure_of(instance: DagsterInstance, run: "DagsterRun") -> Failure:
    """What broke a run that failed or was canceled, from its events."""
    steps = instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    for entry in steps:
        event = entry.dagster_event
        error = event.step_failure_data.error if event else None
        if event and error:
            failure = _named(str(event.step_key), error)
            refused = _refused_by_checks(instance, run)
            return replace(failure, reason=refused) if refused and failure.by is BrokenBy.DATA else failure
    ends = {DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELING, DagsterEventType.RUN_CANCELED}
    said = [entry.dagster_event.message for entry in instance.all_logs(run.run_id, of_type=ends) if entry.dagster_event]
    return Failure(BrokenBy.KILLED, next(filter(None, said), None) or "its process ended before it did")


def _named(step: str, error: "SerializableErrorInfo") -> Failure:
    chain = list(_chain(error))
    for one in chain:
        if by := _BY_ERROR.get(one.cls_name or ""):
            return Failure(by, f"{step}: {sentence(one)}")
    return Failure(BrokenBy.CODE, f"{step}: {sentence(chain[-1])}")


def _chain(error: "SerializableErrorInfo") -> "Iterator[SerializableErrorInfo]":
    """The error and what caused it; Dagster wraps what was raised in a step once."""
    following: SerializableErrorInfo | None = error
    while following:
        yield following
        following = following.cause


def sentence(error: "SerializableErrorInfo") -> str:
    """What an error says, without the name of its class in front."""
    return (error.message.partition(f"{error.cls_name}: ")[2] or error.message).strip()


def _refused_by_checks(instance: DagsterInstance, run: "DagsterRun") -> str:
    """What the blocking checks said that failed: more than the error that ends their step."""
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)
    verdicts = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    return "; ".join(
        f"{verdict.asset_key.to_user_string()}: {verdict.check_name}: {verdict.description}"
        for verdict in verdicts
        if verdict.blocking and not verdict.passed
    )
