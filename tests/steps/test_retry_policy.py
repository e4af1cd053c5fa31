"""Which errors a step retries, how often and after how long."""

import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterEventType, ExecuteInProcessResult, OpExecutionContext, Output, job, op

from nhm_assets.domain.errors import DataError
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import retry_delay_s, retry_transient_errors
from resources.errors import MlflowUnavailable
from tests.support.dagster_internals import DagsterExecutionInterruptedError
from tests.support.mongod import mongod_with_password
from tests.support.platform import QUIET, Platform, failed_step
from tests.support.ports import free_port
from tests.support.retries import EAGER, retry_warnings
from tests.support.web import website

PATIENT = {"service_retries": 3, "service_retry_delay_s": 300.0}
"""One delay under these is longer than a test may take."""


def attempts(result: ExecuteInProcessResult) -> int:
    """How often the steps of a run were started."""
    kinds = [event.event_type for event in result.all_events]
    return sum(kinds.count(kind) for kind in (DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED))


def one_step(platform: Platform, body: Callable[..., Any]) -> ExecuteInProcessResult:
    """Run a job whose only step calls `body` with the settings and retries transient errors."""
    retrying = retry_transient_errors(body)

    @op(required_resource_keys={"settings"})
    def returning(context: OpExecutionContext) -> None:
        retrying(settings=context.resources.settings)

    @op(required_resource_keys={"settings"})
    def yielding(context: OpExecutionContext) -> Iterator[Output[int]]:
        yield from retrying(settings=context.resources.settings)

    @job
    def steps() -> None:
        (yielding if inspect.isgeneratorfunction(body) else returning)()

    return steps.execute_in_process(
        instance=platform.instance,
        raise_on_error=False,
        run_config=QUIET,
        resources={"settings": platform.settings},
    )


def use_mlflow(settings: Settings) -> None:
    with mlflow_of(settings).client() as client:
        client.search_registered_models(max_results=1)


def use_mongo(settings: Settings) -> None:
    with mongo_of(settings).database() as database:
        database["anything"].find_one()


@pytest.mark.parametrize(
    ("first_s", "attempt", "middle"), [(5, 0, 5), (5, 1, 10), (5, 2, 20), (5, 5, 160), (5, 20, 300), (1000, 0, 300)]
)
def test_each_delay_is_twice_the_one_before_up_to_five_minutes_and_a_third_more_or_less(first_s, attempt, middle):
    delays = [retry_delay_s(first_s, attempt) for _ in range(500)]
    assert middle * 2 / 3 <= min(delays) < middle * 3 / 4
    assert middle * 5 / 4 < max(delays) <= middle * 4 / 3


def refused_by_mlflow(status: int) -> Iterator[dict[str, str]]:
    answers = {"/version": (200, "3.17.0"), "/api/2.0/mlflow/registered-models/search": (status, "no")}
    with website(answers) as site:
        yield {"mlflow_tracking_uri": site.address}


@pytest.fixture
def permanent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings that fail however often a step retries."""
    match request.param:
        case "wrong password":
            with mongod_with_password(tmp_path / "mongod") as guarded:
                yield {"mongodb_uri": guarded.uri.replace("s3cret-word", "another-word")}
        case "unusable address of MongoDB":
            yield {"mongodb_uri": "mongo:/nowhere"}
        case "unusable address of MLflow":
            yield {"mlflow_tracking_uri": "nowhere://at-all"}
        case status:
            yield from refused_by_mlflow(int(status))


@pytest.mark.parametrize(
    ("permanent", "use", "message"),
    [
        ("wrong password", use_mongo, "refuses the credentials"),
        ("unusable address of MongoDB", use_mongo, "MONGODB_URI is not a usable MongoDB address"),
        ("unusable address of MLflow", use_mlflow, "MLFLOW_TRACKING_URI is not a usable address"),
        ("401", use_mlflow, "answers 401"),
        ("403", use_mlflow, "answers 403"),
    ],
    indirect=["permanent"],
)
def test_a_permanent_error_of_a_service_ends_the_step_at_once(platform: Platform, permanent, use, message):
    started = time.monotonic()
    result = one_step(platform.with_settings(**permanent, **PATIENT), use)
    assert time.monotonic() - started < PATIENT["service_retry_delay_s"]
    assert not result.success
    assert message in failed_step(result)[1]
    assert (attempts(result), retry_warnings(platform, result.run_id)) == (1, [])


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_busy_server_is_asked_again(platform: Platform, status):
    busy, ready = (int(status), "busy"), (200, '{"registered_models": []}')
    answers = {"/version": (200, "3.17.0"), "/api/2.0/mlflow/registered-models/search": [busy, busy, ready]}
    with website(answers) as site:
        result = one_step(platform.with_settings(mlflow_tracking_uri=site.address, **EAGER), use_mlflow)
    assert result.success
    assert len(retry_warnings(platform, result.run_id)) == 2


@pytest.mark.parametrize("retries", [0, 2])
def test_after_the_last_retry_the_original_error_is_recorded(platform: Platform, retries):
    address = f"http://127.0.0.1:{free_port()}"
    away = {"mlflow_tracking_uri": address, "service_retries": retries, "service_retry_delay_s": 0.05}
    result = one_step(platform.with_settings(**away), use_mlflow)
    assert not result.success
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    shown = failure.step_failure_data.user_failure_data
    assert f"MLflow at {address} cannot be reached" in shown.description, "a sentence, and no stack trace"
    assert {name: entry.value for name, entry in shown.metadata.items()} == {
        "broken_by": "MLflow",
        "passes_by_itself": True,
    }
    raised = failure.step_failure_data.error.cause
    assert raised.cls_name == MlflowUnavailable.__name__
    assert f"MLflow at {address} cannot be reached" in raised.message
    assert (attempts(result), len(retry_warnings(platform, result.run_id))) == (retries + 1, retries)


@pytest.mark.parametrize(
    "error",
    [
        DataError("no rows"),
        ValueError("no number"),
        ConnectionError("not ours"),
        # With Dagster's own RetryPolicy a canceled step would start over.
        DagsterExecutionInterruptedError("canceled"),
    ],
)
def test_any_other_error_ends_the_step_at_once(platform: Platform, error):
    def fail(settings: Settings) -> None:
        raise error

    result = one_step(platform.with_settings(**PATIENT), fail)
    assert str(error) in failed_step(result)[1]
    assert attempts(result) == 1


def test_a_run_whose_retries_are_used_up_names_the_service_that_broke_it(platform: Platform):
    away = platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{free_port()}", **EAGER | {"service_retries": 1})
    result = away.retrain()
    assert not result.success
    tags = away.tags(result)
    assert (tags["nhm/outcome"], tags["nhm/broken_by"]) == ("broken", "MongoDB")
    assert len(retry_warnings(away, result.run_id)) == 1


def test_a_step_that_yields_retries_too(platform: Platform):
    """Assets with checks yield."""
    begun = []

    def away_once(settings: Settings) -> Iterator[Output[int]]:
        begun.append(settings)
        if len(begun) == 1:
            raise MlflowUnavailable("MLflow is away")
        yield Output(7)

    result = one_step(platform.with_settings(**EAGER), away_once)
    assert result.output_for_node("yielding") == 7
    assert (len(begun), len(retry_warnings(platform, result.run_id))) == (2, 1)
