"""Dagster's tables in PostgreSQL through connections that stay open: few, never waited for, and renewed when lost."""

import multiprocessing
import os
import select
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetCheckKey, DagsterInstance, asset, materialize
from sqlalchemy import Engine, event, text

from nhm_assets.domain.asset_keys import PROMOTED_VERSION
from nhm_assets.domain.check_result import Verdict
from nhm_assets.instance import postgres_storage
from nhm_assets.instance.postgres_storage import KEPT_OPEN
from nhm_assets.promotion.checks import REGISTRY_CONSISTENT
from nhm_assets.promotion.rollback_events import record_verdict
from tests.support.dagster_internals import InstanceRef, create_run_for_test
from tests.support.postgres import Postgres
from tests.support.processes import ROOT

pytestmark = pytest.mark.servers

DEPLOYED = yaml.safe_load((ROOT / "deploy" / "postgres" / "dagster.yaml").read_text())
END_OTHERS = """
    SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
ADDRESS = DEPLOYED["storage"]["custom"]["config"]


@pytest.fixture(scope="module")
def home(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder; the environment names a database for it, with the tables that Dagster by itself creates."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in postgres.new_database(f"dagster_{uuid.uuid4().hex[:12]}").items():
            patch.setenv(name, value)
        with as_dagster_does(folder):
            yield folder


@contextmanager
def opened(folder: Path, storage: dict[str, Any] = DEPLOYED["storage"]) -> Iterator[DagsterInstance]:
    overrides = {"telemetry": {"enabled": False}, "storage": storage}
    with DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides=overrides)) as instance:
        yield instance


def as_dagster_does(folder: Path) -> Any:
    """An instance with a connection for each statement."""
    return opened(folder, {"postgres": ADDRESS})


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with opened(home) as instance:
        yield instance


@contextmanager
def connections() -> Iterator[list[Any]]:
    """The connections that this process opens."""
    made: list[Any] = []

    def add(connection: Any, _: object) -> None:
        made.append(connection)

    event.listen(Engine, "connect", add)
    yield made
    event.remove(Engine, "connect", add)


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that this process sends."""
    sent: list[str] = []

    def add(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", add)
    yield sent
    event.remove(Engine, "before_cursor_execute", add)


def engine_of(instance: DagsterInstance) -> Engine:
    return instance.run_storage._engine  # type: ignore[attr-defined]


@asset
def an_asset() -> int:
    return 1


def test_a_run_opens_two_connections_at_most(instance: DagsterInstance):
    engine_of(instance).dispose()
    with connections() as made:
        assert materialize([an_asset], instance=instance).success
    assert 1 <= len(made) <= 2


def test_without_it_dagster_opens_a_connection_for_almost_every_statement(home: Path):
    """What it is for; once Dagster does better by itself, it can go."""
    with as_dagster_does(home) as plain, connections() as made:
        assert materialize([an_asset], instance=plain).success
    assert len(made) > 30


def test_the_instances_of_a_process_share_the_connections_of_all_three_storages(home: Path, instance: DagsterInstance):
    instance.get_runs(limit=1)
    with connections() as made, opened(home) as another:
        another.get_runs(limit=1)
        another.all_instigator_state()
        another.get_latest_materialization_event(an_asset.key)
    assert made == []


def test_both_kinds_of_instances_share_the_tables(home: Path, instance: DagsterInstance):
    with as_dagster_does(home) as plain:
        run = create_run_for_test(plain)
        instance.report_engine_event("pooled", run)
        plain.report_engine_event("plain", run)
        for one in (instance, plain):
            assert [entry.message for entry in one.all_logs(run.run_id)] == ["pooled", "plain"]


def test_threads_do_not_wait_for_a_connection_and_the_additional_ones_are_closed(instance: DagsterInstance):
    """Each holds one, and asks for a second one while all the others hold theirs."""
    count = 4 * KEPT_OPEN
    all_hold_one, answers = threading.Barrier(count, timeout=120), []

    def work() -> None:
        with instance.run_storage.connect():  # type: ignore[attr-defined]
            all_hold_one.wait()
            answers.append(instance.get_runs(limit=1))
            all_hold_one.wait()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == count
    assert engine_of(instance).pool.checkedin() == KEPT_OPEN  # type: ignore[attr-defined]


def test_connections_that_the_server_has_closed_are_replaced(home: Path, instance: DagsterInstance):
    """As after its restart."""
    run = create_run_for_test(instance)
    instance.report_engine_event("before", run)
    with as_dagster_does(home) as other, other.run_storage.connect() as connection:
        # One that its client has closed may be gone by now, and is not ended then.
        ended = connection.execute(text(END_OTHERS)).scalars().all()
    assert True in ended
    instance.report_engine_event("after", run)
    assert [entry.message for entry in instance.all_logs(run.run_id)] == ["before", "after"]


def test_a_second_verdict_without_a_run_takes_the_place_of_the_first(instance: DagsterInstance):
    """Two rollbacks on the same partition; SQLite shows it in the tests of the rollback."""
    key, partition = AssetCheckKey(PROMOTED_VERSION, REGISTRY_CONSISTENT), "technical|2026-03-01"
    for number in (1, 2):
        for week in (partition, f"technical|2026-03-0{7 + number}"):
            record_verdict(instance, week, Verdict(REGISTRY_CONSISTENT, passed=True, reason=f"rollback {number}"))
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert sorted((one.evaluation.partition, one.evaluation.description) for one in history) == [
        (partition, "rollback 2"),
        ("technical|2026-03-08", "rollback 1"),
        ("technical|2026-03-09", "rollback 2"),
    ]


def in_a_fork(work: Callable[[], None]) -> int | None:
    """The exit code of a forked process that does this work."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    return child.exitcode


def test_a_forked_process_opens_its_own_connections_and_leaves_those_of_its_parent(instance: DagsterInstance):
    run = create_run_for_test(instance)
    instance.report_engine_event("parent", run)

    def work() -> None:
        with connections() as made:
            instance.report_engine_event("child", run)
        os._exit(len(made))

    with connections() as made:
        assert in_a_fork(work) == 1
        instance.report_engine_event("parent again", run)
    assert made == []
    assert [entry.message for entry in instance.all_logs(run.run_id)] == ["parent", "child", "parent again"]


def test_after_a_transaction_a_connection_is_as_before(instance: DagsterInstance):
    """Dagster writes some events in a transaction, everything else in none."""
    storage: Any = instance.event_log_storage
    with suppress(KeyError), storage.index_transaction() as connection:
        connection.execute(text("CREATE TABLE never (number int)"))
        raise KeyError
    assert not storage.has_table("never")
    with storage.index_connection() as connection:
        assert connection.connection.dbapi_connection.autocommit


def test_it_keeps_the_parameters_of_dagster_yaml_and_adds_those_that_notice_a_lost_server(home: Path):
    database = ADDRESS["postgres_db"] | {"params": {"options": "-c statement_timeout=4567", "keepalives_idle": 77}}
    custom = DEPLOYED["storage"]["custom"] | {"config": {"postgres_db": database}}
    with opened(home, {"custom": custom}) as instance, instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "4567ms"
        used = connection.connection.dbapi_connection.get_dsn_parameters()
    assert {"keepalives_idle": "77", "tcp_user_timeout": "30000"}.items() <= used.items()


def test_the_webserver_keeps_its_time_limit_for_statements(home: Path):
    with ExitStack() as stack:
        webserver, other = (stack.enter_context(opened(home)) for _ in range(2))
        webserver.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)
        limits = []
        for one in (webserver, other):
            with one.run_storage.connect() as connection:
                limits.append(connection.execute(text("SHOW statement_timeout")).scalar())
    assert limits == ["15s", "0"]


@pytest.fixture
def pings(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The connections that were asked whether they still exist."""
    dialect, asked = engine_of(instance).dialect, list[Any]()
    ping = dialect.do_ping
    monkeypatch.setattr(dialect, "do_ping", lambda connection: asked.append(connection) or ping(connection))
    return asked


def test_only_an_idle_connection_is_asked_whether_it_still_exists(
    instance: DagsterInstance, pings: list[Any], monkeypatch: pytest.MonkeyPatch
):
    instance.get_runs(limit=1)
    pings.clear()
    assert materialize([an_asset], instance=instance).success
    assert pings == []
    monkeypatch.setattr(postgres_storage, "_ASKED_AFTER_S", 0.0)
    instance.get_runs(limit=1)
    assert len(pings) == 1


def notified(instance: DagsterInstance, listener: Any) -> int:
    """How many notifications the server sends while an event is stored.

    One may come later than the commit that it tells of, but they come in order: ours, sent after it, is the last.
    """
    run, received = create_run_for_test(instance), list[str]()
    instance.report_engine_event("stored", run)
    with listener.cursor() as cursor:
        cursor.execute("NOTIFY run_events, 'last'")
    while "last" not in received:
        listener.poll()
        received += [listener.notifies.pop(0).payload for _ in list(listener.notifies)]
        assert "last" in received or any(select.select([listener], [], [], 30)), "PostgreSQL notifies of nothing"
    return len(received) - 1


def test_no_event_is_notified_of_since_nobody_listens(home: Path, instance: DagsterInstance):
    with as_dagster_does(home) as plain, plain.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(text("LISTEN run_events"))
        listener = connection.connection.driver_connection
        assert notified(instance, listener) == 0
        assert notified(plain, listener) == 1


def test_a_table_that_was_found_is_not_looked_for_again(instance: DagsterInstance):
    storage = instance.event_log_storage
    with storage.index_connection() as connection:  # type: ignore[attr-defined]
        assert not storage.has_table("a_new_one")  # type: ignore[attr-defined]
        connection.execute(text("CREATE TABLE a_new_one (id INT)"))
        assert storage.has_table("a_new_one")  # type: ignore[attr-defined]
        with statements() as asked:
            assert storage.has_table("a_new_one")  # type: ignore[attr-defined]
    assert asked == []
