"""A service that is away for a moment costs a run some seconds; what cannot pass is raised at once."""

import inspect
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from dagster import DagsterEventType, ExecuteInProcessResult, OpExecutionContext, Output, job, op

from nhm_assets.domain.errors import DataError
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.promotion_lock import LEASE_S, hold_lock
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.settings import Settings
from nhm_assets.steps.retry_policy import tries_again, waiting_time
from resources.errors import MlflowUnavailable
from tests.support.documents import NOW, put, reviewed_opinions
from tests.support.doors import Door, door_to
from tests.support.learnable import learnable, store_dataset
from tests.support.mongod import mongod_with_password
from tests.support.platform import QUIET, Platform, failed_step
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.reruns import launch
from tests.support.servers import mlflow_server
from tests.support.web import website

EAGER = {"service_retries": 6, "service_retry_delay_s": 0.2, "mongodb_timeout_s": 1.0, "mlflow_timeout_s": 5.0}
PATIENT = {"service_retries": 3, "service_retry_delay_s": 300.0}
"""One wait under these is longer than a test may take."""


def announced(platform: Platform, run_id: str) -> list[str]:
    """What the log of a run says of tries."""
    entries = platform.instance.all_logs(run_id)
    return [entry.user_message for entry in entries if "Trying again" in entry.user_message]


def tries(result: ExecuteInProcessResult) -> int:
    """How often a step of the run was begun."""
    kinds = [event.event_type for event in result.all_events]
    return sum(kinds.count(kind) for kind in (DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED))


def one_step(platform: Platform, body: Callable[..., Any]) -> ExecuteInProcessResult:
    """Run a job whose only step does this with the settings, and tries again."""
    trying = tries_again(body)

    @op(required_resource_keys={"settings"})
    def returning(context: OpExecutionContext) -> None:
        trying(settings=context.resources.settings)

    @op(required_resource_keys={"settings"})
    def yielding(context: OpExecutionContext) -> Iterator[Output[int]]:
        yield from trying(settings=context.resources.settings)

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


@pytest.mark.parametrize(("done", "middle"), [(0, 5), (1, 10), (2, 20), (5, 160)])
def test_each_wait_is_twice_the_one_before_give_or_take_a_third(done, middle):
    assert waiting_time(5, done, 0.5) == middle
    assert waiting_time(5, done, 0.0) == pytest.approx(middle * 2 / 3)
    assert waiting_time(5, done, 1.0) == pytest.approx(middle * 4 / 3)


def test_no_wait_is_much_longer_than_five_minutes():
    assert waiting_time(5, 20, 0.5) == 300
    assert waiting_time(5, 20, 1.0) == pytest.approx(400)
    assert waiting_time(1000, 0, 0.5) == 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server for the tests of this module."""
    with mlflow_server(tmp_path_factory.mktemp("server") / "mlflow") as address:
        yield address


@pytest.fixture
def mlflow_door(server: str) -> Iterator[Door]:
    with door_to(urlsplit(server).port) as door:
        yield door


@pytest.fixture
def mongo_door(mongod_uri: str) -> Iterator[Door]:
    with door_to(urlsplit(mongod_uri).port) as door:
        yield door


@pytest.mark.servers
def test_mlflow_that_is_away_when_a_step_begins_and_comes_back_costs_it_nothing_but_time(
    platform: Platform, mlflow_door: Door
):
    served = platform.with_settings(mlflow_tracking_uri=f"http://127.0.0.1:{mlflow_door.port}", **EAGER)
    store_dataset(served, learnable())
    mlflow_door.shut(for_s=0.5)
    result = launch(served, only=["trained_model"])
    assert result.success
    said = announced(served, result.run_id)
    assert said
    assert f"MLflow at http://127.0.0.1:{mlflow_door.port} cannot be reached" in said[0]
    assert said[0].endswith("s (1 of 6)")
    assert tries(result) > len(said)


def test_mongodb_that_is_away_when_a_step_begins_and_comes_back_costs_it_nothing_but_time(
    platform: Platform, mongo_door: Door
):
    opinions, reviews = reviewed_opinions(320)
    put(platform.database, opinions=opinions, feedback=reviews)
    behind = f"mongodb://127.0.0.1:{mongo_door.port}/?directConnection=true"
    away = platform.with_settings(mongodb_uri=behind, **EAGER)
    mongo_door.shut(for_s=1.5)
    result = launch(away, only=["feedback_dataset"])
    assert result.success
    assert announced(away, result.run_id)
    assert len(result.asset_value("feedback_dataset")) == 320


@pytest.mark.servers
def test_a_training_that_mlflow_left_is_done_again_and_one_finished_run_stands_for_it(
    platform: Platform, mlflow_door: Door, server: str
):
    behind = f"http://127.0.0.1:{mlflow_door.port}"
    served = platform.with_settings(mlflow_tracking_uri=behind, hyperparameter_tuning=True, tuning_trials=8, **EAGER)
    straight = platform.with_settings(mlflow_tracking_uri=server)
    store_dataset(served, learnable(), specialist="evolution")

    def of_training() -> list[tuple[str, str]]:
        """Status and Dagster run of the MLflow runs, but for the trials of a search."""
        with straight.mlflow.client() as client:
            experiment = client.get_experiment_by_name("evolution-specialist")
            runs = client.search_runs([experiment.experiment_id]) if experiment else []
        return [(one.info.status, one.data.tags["dagster_run_id"]) for one in runs if "dagster_run_id" in one.data.tags]

    def leave_for_a_while() -> None:
        assert eventually(lambda: bool(of_training()), within_s=60)
        mlflow_door.shut()
        eventually(lambda: bool(announced(served, served.instance.get_runs(limit=1)[0].run_id)), within_s=60)
        mlflow_door.open()

    leaving = threading.Thread(target=leave_for_a_while)
    leaving.start()
    result = launch(served, "evolution", only=["trained_model"])
    leaving.join()
    assert result.success
    assert announced(served, result.run_id)
    statuses = [status for status, _ in of_training()]
    assert {run for _, run in of_training()} == {result.run_id}
    assert (statuses.count("FINISHED"), statuses.count("RUNNING")) == (1, 0)
    # The first one was told of its end by its own try, if MLflow was back by then, or else ended by the next.
    assert set(statuses) - {"FINISHED"} <= {"FAILED", "KILLED"}
    assert len(statuses) > 1
    assert result.asset_value("trained_model").version == "1"


@pytest.mark.servers
def test_a_promotion_that_mongodb_left_in_the_middle_is_ended_by_its_own_next_try(platform: Platform, mongo_door: Door):
    """Its lock runs out meanwhile, so that it must not go on: somebody else may have begun."""
    opinions, reviews = reviewed_opinions(400)
    put(platform.database, opinions=opinions, feedback=reviews)
    behind = f"mongodb://127.0.0.1:{mongo_door.port}/?directConnection=true"
    away = platform.with_settings(mongodb_uri=behind, **EAGER)
    log, model = platform.database["model_audit_log"], Specialist.TECHNICAL.registered_model
    undertaken = {"model": model, "state": "open", "transitions": {"$exists": True}}

    def leave_in_the_middle() -> None:
        registry = sqlite3.connect(platform.settings.nhm_home / "mlflow" / "mlflow.db")
        with hold_lock(log, model, {"kind": "promotion", "at": NOW}, recover=lambda _: None, wait_s=5) as held:
            assert eventually(lambda: has_begun(platform, "promoted_version"), within_s=90)
            registry.execute("BEGIN IMMEDIATE")
            held.discard()
        assert eventually(lambda: log.find_one(undertaken), within_s=15)
        mongo_door.shut()
        time.sleep(LEASE_S + 1)
        registry.close()
        assert eventually(lambda: announced(platform, platform.instance.get_runs(limit=1)[0].run_id), within_s=30)
        mongo_door.open()

    leaving = threading.Thread(target=leave_in_the_middle)
    leaving.start()
    result = launch(away)
    leaving.join()
    assert result.success
    assert platform.tags(result)["nhm/outcome"] == "promoted"
    assert "lost the lock on technical-evaluator" in announced(platform, result.run_id)[0]
    with platform.mlflow.client() as client:
        assert registry_faults(client, model, "1") == []
    (promoted,) = log.find({"kind": "promoted"})
    assert promoted["repaired"]


def has_begun(platform: Platform, step: str) -> bool:
    """Whether a step of the newest run has begun."""
    (run,) = platform.instance.get_runs(limit=1) or [None]
    begun = platform.instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_START) if run else ()
    return any(entry.dagster_event.step_key == step for entry in begun)


def refused_by_mlflow(status: int) -> Iterator[dict[str, str]]:
    answers = {"/version": (200, "3.17.0"), "/api/2.0/mlflow/registered-models/search": (status, "no")}
    with website(answers) as site:
        yield {"mlflow_tracking_uri": site.address}


@pytest.fixture
def permanent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings that cannot work however often they are tried."""
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
    ("permanent", "use", "said"),
    [
        ("wrong password", use_mongo, "refuses the credentials"),
        ("unusable address of MongoDB", use_mongo, "MONGODB_URI is not a usable MongoDB address"),
        ("unusable address of MLflow", use_mlflow, "MLFLOW_TRACKING_URI is not a usable address"),
        ("401", use_mlflow, "answers 401"),
        ("403", use_mlflow, "answers 403"),
    ],
    indirect=["permanent"],
)
def test_what_cannot_pass_is_raised_at_once(platform: Platform, permanent, use, said):
    started = time.monotonic()
    result = one_step(platform.with_settings(**permanent, **PATIENT), use)
    assert time.monotonic() - started < 30
    assert not result.success
    assert said in failed_step(result)[1]
    assert (tries(result), announced(platform, result.run_id)) == (1, [])


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_server_that_is_too_busy_for_us_is_tried_again(platform: Platform, status):
    busy, ready = (int(status), "busy"), (200, '{"registered_models": []}')
    answers = {"/version": (200, "3.17.0"), "/api/2.0/mlflow/registered-models/search": [busy, busy, ready]}
    with website(answers) as site:
        result = one_step(platform.with_settings(mlflow_tracking_uri=site.address, **EAGER), use_mlflow)
    assert result.success
    assert len(announced(platform, result.run_id)) == 2


@pytest.mark.parametrize("retries", [0, 2])
def test_when_all_tries_are_used_up_the_original_error_is_raised(platform: Platform, retries):
    address = f"http://127.0.0.1:{free_port()}"
    away = {"mlflow_tracking_uri": address, "service_retries": retries, "service_retry_delay_s": 0.05}
    result = one_step(platform.with_settings(**away), use_mlflow)
    assert not result.success
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    raised = failure.step_failure_data.error.cause
    assert raised.cls_name == MlflowUnavailable.__name__
    assert f"MLflow at {address} cannot be reached" in raised.message
    assert (tries(result), len(announced(platform, result.run_id))) == (retries + 1, retries)


@pytest.mark.parametrize("error", [DataError("no rows"), ValueError("no number"), ConnectionError("not ours")])
def test_an_error_that_is_no_services_is_raised_as_it_is(platform: Platform, error):
    def fail(settings: Settings) -> None:
        raise error

    result = one_step(platform.with_settings(**PATIENT), fail)
    assert str(error) in failed_step(result)[1]
    assert tries(result) == 1


def test_a_whole_run_whose_tries_are_used_up_says_by_which_service_it_is_broken(platform: Platform):
    away = platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{free_port()}", **EAGER | {"service_retries": 1})
    result = launch(away)
    assert not result.success
    tags = away.tags(result)
    assert (tags["nhm/outcome"], tags["nhm/broken_by"]) == ("broken", "MongoDB")
    assert len(announced(away, result.run_id)) == 1


def test_a_body_that_yields_tries_again_too(platform: Platform):
    """As assets with checks do."""
    begun = []

    def away_once(settings: Settings) -> Iterator[Output[int]]:
        begun.append(settings)
        if len(begun) == 1:
            raise MlflowUnavailable("MLflow is away")
        yield Output(7)

    result = one_step(platform.with_settings(**EAGER), away_once)
    assert result.output_for_node("yielding") == 7
    assert (len(begun), len(announced(platform, result.run_id))) == (2, 1)
