"""Why a run broke, read from the errors of its steps."""

import re
import sqlite3
from collections.abc import Callable

import pytest
from dagster import (
    AssetCheckResult,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    asset,
    asset_check,
    define_asset_job,
)
from dagster import Definitions as Location
from pymongo.errors import NotPrimaryError, OperationFailure
from sqlalchemy.exc import IntegrityError, OperationalError

from nhm_assets.domain import errors
from nhm_assets.domain.dagster_names import INCREMENT_CONFIG
from nhm_assets.domain.errors import (
    ChampionChanged,
    DataError,
    PromotionRefused,
    RegistryError,
    RolloutFailed,
    RolloutRefused,
    TooFewRows,
    UsageError,
)
from nhm_assets.domain.outcomes import BrokenBy
from nhm_assets.domain.partitions import specialist_weeks_of
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.feedback.features import InvalidPlan
from nhm_assets.runs.failure_cause import Failure, failure_of, reason_of
from nhm_assets.runs.tags import PARTITION_TAG, SPECIALIST_TAG, WEEK_TAG
from resources import errors as service_errors
from resources.errors import (
    EmbeddedMongoError,
    IncompatibleMlflow,
    KubernetesRefused,
    KubernetesUnavailable,
    KubernetesUnknown,
    LockLost,
    MlflowRefused,
    MlflowUnavailable,
    MongoRefused,
    MongoSlow,
    MongoUnavailable,
    StorageError,
    StorageUnavailable,
)
from tests.support.dagster_internals import DagsterExecutionInterruptedError
from tests.support.documents import WEEK, put, revealed_opinions
from tests.support.ended_runs import PROMOTED
from tests.support.platform import QUIET, Platform
from tests.support.retrainings import end_run, put_run
from tests.support.wiped import session_platform, wiped

AGAIN = f"Run `nhm retrain --week {WEEK} --specialist technical` unless it is retried automatically"

__all__ = ["session_platform", "wiped"]


def run_of(instance: DagsterInstance, run_id: str) -> DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def broken(instance: DagsterInstance, body: Callable[[], None], *, blocking: bool = False) -> Failure:
    """The failure of a run in which an asset, or a blocking check on it, calls this."""

    @asset
    def trained_model() -> None:
        if not blocking:
            body()

    @asset_check(asset=AssetKey("trained_model"), blocking=True)
    def loads_as_pyfunc() -> AssetCheckResult:
        if blocking:
            body()
        return AssetCheckResult(passed=not blocking, description="it is no model")

    location = Location([trained_model], asset_checks=[loads_as_pyfunc], jobs=[define_asset_job("one")])
    result = location.resolve_job_def("one").execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET
    )
    assert not result.success
    return failure_of(instance, run_of(instance, result.run_id))


def raised(error: BaseException, cause: BaseException | None = None) -> Callable[[], None]:
    def body() -> None:
        raise error from cause

    return body


CAUSES = {
    MongoSlow: BrokenBy.MONGODB,
    MongoUnavailable: BrokenBy.MONGODB,
    LockLost: BrokenBy.MONGODB,
    MongoRefused: BrokenBy.MONGODB,
    EmbeddedMongoError: BrokenBy.MONGODB,
    MlflowUnavailable: BrokenBy.MLFLOW,
    MlflowRefused: BrokenBy.MLFLOW,
    IncompatibleMlflow: BrokenBy.MLFLOW,
    ChampionChanged: BrokenBy.MLFLOW,
    RegistryError: BrokenBy.MLFLOW,
    KubernetesUnavailable: BrokenBy.KUBERNETES,
    KubernetesRefused: BrokenBy.KUBERNETES,
    KubernetesUnknown: BrokenBy.KUBERNETES,
    RolloutFailed: BrokenBy.KUBERNETES,
    RolloutRefused: BrokenBy.KUBERNETES,
    StorageError: BrokenBy.STORAGE,
    StorageUnavailable: BrokenBy.STORAGE,
    DataError: BrokenBy.DATA,
    TooFewRows: BrokenBy.DATA,
    InvalidPlan: BrokenBy.DATA,
    PromotionRefused: BrokenBy.REFUSED,
    UsageError: BrokenBy.REFUSED,
    KeyError: BrokenBy.CODE,
    ZeroDivisionError: BrokenBy.CODE,
    MemoryError: BrokenBy.CODE,
}


@pytest.mark.parametrize(("error", "by"), CAUSES.items(), ids=lambda one: getattr(one, "__name__", str(one)))
def test_each_error_names_what_broke_the_run(wiped: Platform, error: type[Exception], by: BrokenBy):
    failure = broken(wiped.instance, raised(error("the thing and the remedy")))
    assert failure.by is by
    assert failure.transient is getattr(error, "transient", False)
    assert failure.reason.replace("'", "") == "trained_model: the thing and the remedy"


def test_every_error_of_the_platform_and_its_services_is_tested_above():
    known = {
        one
        for module in (errors, service_errors)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, errors.NhmError | service_errors.ServiceError)
    }
    of_no_run = {
        errors.NhmError,
        service_errors.ServiceError,
        service_errors.LanguageModelUnavailable,
        service_errors.AnswerOfAnotherShape,
        service_errors.LanguageModelRefused,
        service_errors.MissingPackage,
    }
    assert known - of_no_run <= set(CAUSES)


def test_a_known_error_counts_more_than_its_cause(wiped: Platform):
    failure = broken(wiped.instance, raised(StorageError("the disk is full"), OSError(28, "No space left on device")))
    assert failure == Failure(BrokenBy.STORAGE, "trained_model: the disk is full")


def test_the_cause_counts_if_the_error_itself_is_unknown(wiped: Platform):
    failure = broken(wiped.instance, raised(RuntimeError("it did not work"), MongoUnavailable("MongoDB is away")))
    assert failure == Failure(BrokenBy.MONGODB, "trained_model: MongoDB is away", transient=True)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OperationalError("select 1", {}, sqlite3.OperationalError("database is locked")), True),
        (IntegrityError("insert", {}, sqlite3.IntegrityError("UNIQUE constraint failed")), False),
        (NotPrimaryError("not primary"), True),
        (OperationFailure("no such command"), False),
    ],
)
def test_a_locked_or_absent_database_is_transient(wiped: Platform, error: Exception, transient: bool):  # noqa: FBT001
    assert broken(wiped.instance, raised(error)).transient is transient


def test_errors_of_mlflows_library_count_as_mlflow(wiped: Platform):
    from mlflow.exceptions import MlflowException, RestException

    rest = RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"})
    for error in (MlflowException("no such run"), rest):
        failure = broken(wiped.instance, raised(error))
        assert failure.by is BrokenBy.MLFLOW
        assert "no such run" in failure.reason


def test_errors_of_mongodbs_library_count_as_mongodb(wiped: Platform):
    """A real error: the server knows no such command."""
    failure = broken(wiped.instance, lambda: wiped.database.command("no such command"))
    assert failure.by is BrokenBy.MONGODB
    assert "no such command" in failure.reason


def test_a_run_interrupted_in_a_step_counts_as_killed(wiped: Platform):
    failure = broken(wiped.instance, raised(DagsterExecutionInterruptedError("stop")))
    assert failure == Failure(
        BrokenBy.KILLED,
        "trained_model: its process was interrupted. Run it again unless it is retried automatically",
    )


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (f"technical|{WEEK}", f"unknown week '{WEEK}'.*FIRST_WEEK and KEEP_WEEKS leave out those before"),
        ("gone|2026-03-29", "unknown specialist 'gone'. Choose one of technical"),
    ],
)
def test_a_rerun_of_what_is_no_partition_any_more_is_refused(
    wiped: Platform, monkeypatch: pytest.MonkeyPatch, key: str, reason: str
):
    monkeypatch.setenv("FIRST_WEEK", "2026-03-29")
    partitions = specialist_weeks_of(all_specialists(), "2026-03-29")

    @asset(partitions_def=partitions)
    def cognitive_plans() -> None: ...

    @asset(partitions_def=partitions, deps=[cognitive_plans])
    def feedback_dataset() -> None: ...

    location = Location([cognitive_plans, feedback_dataset], jobs=[define_asset_job("one", [feedback_dataset])])
    specialist, _, week = key.partition("|")
    tags = {PARTITION_TAG: key, SPECIALIST_TAG: specialist, WEEK_TAG: week}
    result = location.resolve_job_def("one").execute_in_process(
        instance=wiped.instance, raise_on_error=False, run_config=QUIET, tags=tags
    )
    failure = failure_of(wiped.instance, run_of(wiped.instance, result.run_id))
    assert failure.by is BrokenBy.REFUSED
    assert re.match(f"feedback_dataset: {reason}", failure.reason)


def test_the_reason_is_the_sentence_of_the_blocking_check_that_failed(wiped: Platform):
    failure = broken(wiped.instance, lambda: None, blocking=True)
    assert failure == Failure(BrokenBy.DATA, "trained_model: loads_as_pyfunc: it is no model")


def test_a_blocking_check_that_crashes_says_nothing_about_the_data(wiped: Platform):
    failure = broken(wiped.instance, raised(KeyError("column")), blocking=True)
    assert failure.by is BrokenBy.CODE
    assert failure.reason == "trained_model_loads_as_pyfunc: 'column'"


def test_a_real_run_on_rows_that_reveal_the_label_names_the_check_and_the_feature(wiped: Platform):
    opinions, reviews = revealed_opinions(60)
    put(wiped.database, opinions=opinions, feedback=reviews)
    result = wiped.retrain(only=["feedback_dataset"])
    failure = failure_of(wiped.instance, run_of(wiped.instance, result.run_id))
    assert failure.by is BrokenBy.DATA
    assert failure.reason.startswith("feedback_dataset: no_leakage: ")
    assert "risk_score" in failure.reason


@pytest.mark.parametrize(
    ("kind", "says", "reason"),
    [
        (DagsterEventType.RUN_FAILURE, "Exceeded maximum runtime", "Exceeded maximum runtime"),
        (DagsterEventType.RUN_CANCELED, "Run was canceled by ada", "Run was canceled by ada"),
        (DagsterEventType.RUN_FAILURE, "", "its process ended before the run did"),
        (DagsterEventType.RUN_CANCELING, "Sending run termination request.", "it was terminated on request"),
        (DagsterEventType.RUN_CANCELED, "Canceling run from the queue.", "it was canceled in the queue"),
    ],
)
def test_a_run_without_a_failed_step_counts_as_killed(wiped: Platform, kind: DagsterEventType, says: str, reason: str):
    run_id = put_run(wiped.instance, status=DagsterRunStatus.STARTED)
    end_run(wiped.instance, run_id, kind, says)
    run = run_of(wiped.instance, run_id)
    assert failure_of(wiped.instance, run) == Failure(BrokenBy.KILLED, f"{reason}. {AGAIN}")
    assert reason_of(wiped.instance, run) == (f"{reason}. {AGAIN}" if run.is_finished else "")


def test_a_run_that_was_ended_after_its_promotion_says_why_it_broke(wiped: Platform):
    """No hook is called for it, so its tags still say what it decided before."""
    run_id = put_run(wiped.instance, status=DagsterRunStatus.STARTED, tags=PROMOTED)
    end_run(wiped.instance, run_id, DagsterEventType.RUN_CANCELED, "Run was canceled by ada")
    assert reason_of(wiped.instance, run_of(wiped.instance, run_id)) == f"Run was canceled by ada. {AGAIN}"


def test_a_run_without_any_event_counts_as_killed(wiped: Platform):
    run = run_of(wiped.instance, put_run(wiped.instance, status=DagsterRunStatus.FAILURE))
    assert failure_of(wiped.instance, run) == Failure(BrokenBy.KILLED, f"its process ended before the run did. {AGAIN}")
    increment = put_run(wiped.instance, status=DagsterRunStatus.FAILURE, config=INCREMENT_CONFIG)
    assert f"Run `nhm retrain --increment --week {WEEK} " in reason_of(
        wiped.instance, run_of(wiped.instance, increment)
    )
