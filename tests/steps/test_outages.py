"""A service that is away during a step costs the run some seconds, and nothing else."""

import sqlite3
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from dagster import DagsterEventType
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.promotion_lock import LEASE_S, hold_lock
from nhm_assets.registry.transitions import registry_faults
from tests.support.documents import NOW, put, reviewed_opinions
from tests.support.learnable import learnable, store_checked_dataset
from tests.support.platform import Platform
from tests.support.processes import eventually
from tests.support.proxies import Proxy, proxy_to
from tests.support.reruns import launch
from tests.support.retries import EAGER, away_until_retry, retry_warnings
from tests.support.servers import mlflow_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server for the tests of this module."""
    with mlflow_server(tmp_path_factory.mktemp("server") / "mlflow") as address:
        yield address


@pytest.fixture
def mlflow_proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(urlsplit(server).port) as proxy:
        yield proxy


@pytest.fixture
def mongo_proxy(mongod_uri: str) -> Iterator[Proxy]:
    with proxy_to(urlsplit(mongod_uri).port) as proxy:
        yield proxy


@pytest.mark.servers
def test_mlflow_that_is_away_when_a_step_begins_costs_it_only_time(platform: Platform, mlflow_proxy: Proxy):
    served = platform.with_settings(mlflow_tracking_uri=f"http://127.0.0.1:{mlflow_proxy.port}", **EAGER)
    store_checked_dataset(served, learnable())
    with away_until_retry(served, mlflow_proxy):
        result = launch(served, only=["trained_model"])
    assert result.success
    warnings = retry_warnings(served, result.run_id)
    assert f"MLflow at http://127.0.0.1:{mlflow_proxy.port} cannot be reached" in warnings[0]
    assert ". Retry 1 of 6 in " in warnings[0]


def test_mongodb_that_is_away_when_a_step_begins_costs_it_only_time(platform: Platform, mongo_proxy: Proxy):
    opinions, reviews = reviewed_opinions(320)
    put(platform.database, opinions=opinions, feedback=reviews)
    behind = f"mongodb://127.0.0.1:{mongo_proxy.port}/?directConnection=true"
    away = platform.with_settings(mongodb_uri=behind, **EAGER)
    with away_until_retry(away, mongo_proxy):
        result = launch(away, only=["feedback_dataset"])
    assert result.success
    assert retry_warnings(away, result.run_id)
    assert len(result.asset_value("feedback_dataset")) == 320


@pytest.mark.servers
@pytest.mark.slow
def test_a_training_that_lost_mlflow_is_repeated_and_leaves_one_finished_run(
    platform: Platform, mlflow_proxy: Proxy, server: str
):
    behind = f"http://127.0.0.1:{mlflow_proxy.port}"
    served = platform.with_settings(mlflow_tracking_uri=behind, hyperparameter_tuning=True, tuning_trials=8, **EAGER)
    straight = platform.with_settings(mlflow_tracking_uri=server)
    store_checked_dataset(served, learnable(), specialist="evolution")

    def of_training() -> list[tuple[str, str]]:
        """Status and Dagster run of the MLflow runs, without the trials of a search."""
        with straight.mlflow.client() as client:
            experiment = client.get_experiment_by_name("evolution-specialist")
            runs = client.search_runs([experiment.experiment_id]) if experiment else []
        return [(one.info.status, one.data.tags["dagster_run_id"]) for one in runs if "dagster_run_id" in one.data.tags]

    def shut_for_a_while() -> None:
        assert eventually(lambda: bool(of_training()))
        mlflow_proxy.shut()
        eventually(lambda: bool(retry_warnings(served)))
        mlflow_proxy.open()

    shutting = threading.Thread(target=shut_for_a_while)
    shutting.start()
    result = launch(served, "evolution", only=["trained_model"])
    shutting.join()
    assert result.success
    assert retry_warnings(served, result.run_id)
    statuses = [status for status, _ in of_training()]
    assert {run for _, run in of_training()} == {result.run_id}
    assert (statuses.count("FINISHED"), statuses.count("RUNNING")) == (1, 0)
    # Its own attempt ended the first one if MLflow was back by then, else the next attempt did.
    assert set(statuses) - {"FINISHED"} <= {"FAILED", "KILLED"}
    assert len(statuses) > 1
    assert result.asset_value("trained_model").version == "1"


@pytest.fixture
def writes_to_the_registry() -> Iterator[threading.Event]:
    """Is set whenever MLflow is about to write into its SQLite file. It waits longer for a lock than a lease lasts."""
    writes = threading.Event()

    def watch(connection, cursor, statement: str, *_: object) -> None:
        if "mlflow.db" in str(connection.engine.url.database) and statement.startswith(("INSERT", "UPDATE", "DELETE")):
            connection.connection.execute(f"PRAGMA busy_timeout = {4000 * LEASE_S:.0f}")
            writes.set()

    event.listen(Engine, "before_cursor_execute", watch)
    yield writes
    event.remove(Engine, "before_cursor_execute", watch)


@pytest.mark.servers
@pytest.mark.slow
def test_a_promotion_that_lost_mongodb_midway_is_completed_by_its_next_attempt(
    platform: Platform, mongo_proxy: Proxy, writes_to_the_registry: threading.Event
):
    """Its lock expires meanwhile, so it must not go on: another process may have started."""
    opinions, reviews = reviewed_opinions(400)
    put(platform.database, opinions=opinions, feedback=reviews)
    behind = f"mongodb://127.0.0.1:{mongo_proxy.port}/?directConnection=true"
    away = platform.with_settings(mongodb_uri=behind, **EAGER)
    writes = writes_to_the_registry
    log, model = platform.database["model_audit_log"], Specialist("technical").registered_model
    undertaken = {"model": model, "state": "open", "transitions": {"$exists": True}}

    def shut_midway() -> None:
        registry = sqlite3.connect(platform.settings.nhm_home / "mlflow" / "mlflow.db")
        with hold_lock(log, model, {"kind": "promotion", "at": NOW}, recover=lambda _: None, wait_s=5) as held:
            assert eventually(lambda: has_started(platform, "promoted_version"))
            registry.execute("BEGIN IMMEDIATE")
            writes.clear()
            held.discard()
        assert eventually(lambda: log.find_one(undertaken))
        # With its first write, the promotion has MongoDB's reply and waits for the registry.
        assert writes.wait(90)
        mongo_proxy.shut()
        has_expired = undertaken | {"$expr": {"$lt": ["$lease_until", "$$NOW"]}}
        assert eventually(lambda: log.find_one(has_expired))
        registry.close()
        assert eventually(lambda: retry_warnings(platform))
        mongo_proxy.open()

    shutting = threading.Thread(target=shut_midway)
    shutting.start()
    result = launch(away)
    shutting.join()
    assert result.success
    assert platform.tags(result)["nhm/outcome"] == "promoted"
    assert "lost the lock on technical-evaluator" in "\n".join(retry_warnings(platform, result.run_id))
    with platform.mlflow.client() as client:
        assert registry_faults(client, model, "1") == []
    (promoted,) = log.find({"kind": "promoted"})
    assert promoted["repaired"]


def has_started(platform: Platform, step: str) -> bool:
    """Whether a step of the newest run has started."""
    (run,) = platform.instance.get_runs(limit=1) or [None]
    started = platform.instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_START) if run else ()
    return any(entry.dagster_event.step_key == step for entry in started)
