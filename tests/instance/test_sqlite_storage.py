"""Dagster's SQLite files through connections that stay open: nothing is lost, and everybody reads the same."""

import multiprocessing
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml
from alembic.command import stamp
from alembic.script import ScriptDirectory
from dagster import AssetCheckResult, AssetCheckSpec, DagsterInstance, MaterializeResult, asset, materialize
from sqlalchemy import Engine, event, text

from tests.support.dagster_internals import create_run_for_test, sql
from tests.support.processes import eventually, talkers
from tests.support.sqlite_instances import SQLITE_PART, overrides, plain_instance, pooled_instance

PREFIX = "counted "
_A_RUN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with empty databases."""
    with pooled_instance(tmp_path) as instance:
        instance.get_runs(limit=1)
        instance.all_instigator_state()
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with pooled_instance(home) as opened:
        yield opened


def report(instance: DagsterInstance, run_id: str, name: object) -> None:
    """Store one event of a run."""
    instance.report_engine_event(f"{PREFIX}{name}", instance.get_run_by_id(run_id))


def reported(instance: DagsterInstance, run_id: str) -> list[str]:
    """The names of the events that were stored, in their order."""
    messages = [entry.message for entry in instance.all_logs(run_id)]
    return [message.removeprefix(PREFIX) for message in messages if message.startswith(PREFIX)]


def test_no_transaction_waits_for_the_disk(instance: DagsterInstance):
    run = create_run_for_test(instance, "job")
    events = instance.event_log_storage
    report(instance, run.run_id, 1)
    for opened in (
        events.index_connection(),
        events.run_connection(run.run_id),
        instance.run_storage.connect(),
        instance.schedule_storage.connect(),
    ):
        with opened as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1


@contextmanager
def connections() -> Iterator[list[str]]:
    """The files that this process opens a connection to, one entry for each connection."""
    opened: list[str] = []

    def add(connection: sqlite3.Connection, _: object) -> None:
        opened.append(Path(connection.execute("PRAGMA database_list").fetchone()[2]).name)

    event.listen(Engine, "connect", add)
    yield opened
    event.remove(Engine, "connect", add)


@asset
def an_asset() -> int:
    return 1


def test_a_run_opens_few_connections(instance: DagsterInstance):
    materialize([an_asset], instance=instance)
    with connections() as opened:
        assert materialize([an_asset], instance=instance).success
    # The run's own file, once to make it and once to keep it.
    assert len(opened) <= 4


CHECKS = [AssetCheckSpec(f"check_{number}", asset="checked") for number in range(6)]


@asset(check_specs=CHECKS)
def checked() -> MaterializeResult:
    results = [AssetCheckResult(passed=True, check_name=check.name) for check in CHECKS]
    return MaterializeResult(check_results=results)


def test_checks_open_no_connections(instance: DagsterInstance):
    """Dagster asks for each event of a check whether its table exists."""
    materialize([checked], instance=instance)
    with connections() as opened:
        assert materialize([checked], instance=instance).success
    assert len(opened) <= 4


def schemas(instance: DagsterInstance, folder: Path) -> dict[str, tuple[list[tuple[str, str]], list[tuple[str]]]]:
    """Each file of an instance in a new folder, which has had a run: its tables and indexes, and its migration."""
    with instance:
        report(instance, create_run_for_test(instance, run_id=_A_RUN).run_id, 1)
        instance.all_instigator_state()
    found = {}
    for path in folder.rglob("*.db"):
        with sqlite3.connect(path) as connection:
            made = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
            migrations = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        found[str(path.relative_to(folder))] = made, migrations
    return found


def test_new_files_are_those_that_dagster_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here, there = tmp_path / "ours", tmp_path / "dagster"
    here.mkdir()
    there.mkdir()
    ours = schemas(pooled_instance(here), here)
    monkeypatch.setattr(sql, "ScriptDirectory", ScriptDirectory)
    monkeypatch.setattr(sql, "stamp", stamp)
    assert ours == schemas(plain_instance(there), there)
    assert len(ours) == 4
    assert all(len(migrations) == 1 for _, migrations in ours.values())


def test_migrations_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pooled_instance(tmp_path) as instance:
        instance.get_runs(limit=1)
    read: list[object] = []
    revisions = ScriptDirectory._load_revisions
    monkeypatch.setattr(ScriptDirectory, "_load_revisions", lambda self: read.append(self) or revisions(self))
    with pooled_instance(tmp_path) as again:
        report(again, create_run_for_test(again).run_id, 1)
    assert read == []


def test_without_the_part_dagster_opens_a_connection_for_every_event(home: Path):
    """What the part is for; once Dagster does better by itself, it can go."""
    with plain_instance(home) as plain, connections() as opened:
        assert materialize([an_asset], instance=plain).success
    assert len(opened) > 30


def test_a_home_with_an_older_dagster_yaml_and_a_new_one_share_the_same_files(home: Path):
    with (
        pooled_instance(home) as pooled,
        plain_instance(home) as plain,
    ):
        run_id = create_run_for_test(plain).run_id
        for number in range(6):
            report((plain, pooled)[number % 2], run_id, number)
        for one in (plain, pooled):
            assert reported(one, run_id) == list("012345")
            assert [run.run_id for run in one.get_runs()] == [run_id]


def test_the_part_names_dagster_home(home: Path, monkeypatch: pytest.MonkeyPatch):
    (home / "dagster.yaml").write_text(SQLITE_PART.read_text())
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with pooled_instance(home) as before:
        run_id = create_run_for_test(before).run_id
    with DagsterInstance.get() as instance:
        assert type(instance.event_log_storage).__name__ == "PooledEventLogStorage"
        assert instance.has_run(run_id)
    assert (
        yaml.safe_load(SQLITE_PART.read_text())["storage"]["custom"].items()
        >= {
            "module": overrides(home)["storage"]["custom"]["module"],
            "class": overrides(home)["storage"]["custom"]["class"],
        }.items()
    )


def test_threads_store_and_read_at_the_same_time(instance: DagsterInstance):
    run_ids = [create_run_for_test(instance).run_id for _ in range(4)]

    def work(run_id: str) -> None:
        for number in range(25):
            report(instance, run_id, number)
            instance.add_run_tags(run_id, {"number": str(number)})
            instance.get_runs(limit=5)

    threads = [threading.Thread(target=work, args=[run_id]) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run_id in run_ids:
        assert reported(instance, run_id) == [str(number) for number in range(25)]
        assert instance.get_run_by_id(run_id).tags["number"] == "24"


def in_a_fork(work: Callable[[], None]) -> int:
    """The exit code of a forked process that does this work."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    return child.exitcode


def test_a_forked_process_opens_its_own_connections(instance: DagsterInstance, home: Path):
    run_id = create_run_for_test(instance).run_id
    report(instance, run_id, "parent")

    def work() -> None:
        with connections() as opened:
            report(instance, run_id, "child")
            instance.add_run_tags(run_id, {"by": "child"})
        assert {f"{run_id}.db", "runs.db"} <= set(opened)
        instance.dispose()

    assert in_a_fork(work) == 0
    report(instance, run_id, "parent again")
    assert reported(instance, run_id) == ["parent", "child", "parent again"]
    assert instance.get_run_by_id(run_id).tags["by"] == "child"
    assert_whole(home)


def test_a_process_that_is_forked_in_the_middle_of_a_transaction_does_not_wait_for_it(instance: DagsterInstance):
    run_id = create_run_for_test(instance).run_id
    storage = instance.event_log_storage
    inside, over = threading.Event(), threading.Event()

    def hold() -> None:
        with storage.index_connection() as connection:
            connection.execute(text("SELECT 1"))
            inside.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()

    def work() -> None:
        signal.alarm(60)
        report(instance, run_id, "child")

    try:
        assert in_a_fork(work) == 0
    finally:
        over.set()
        holder.join()
    assert reported(instance, run_id) == ["child"]


WRITES = """
import itertools, sys
from pathlib import Path
from tests.support.sqlite_instances import pooled_instance

home, run_id = sys.argv[1:]
instance = pooled_instance(Path(home))
run = instance.get_run_by_id(run_id)
print("ready", flush=True)
for number in itertools.count():
    instance.report_engine_event(f"counted {number}", run)
    print(number, flush=True)
"""


@pytest.mark.servers
def test_what_was_stored_is_there_after_its_process_was_killed(instance: DagsterInstance, home: Path):
    """Several processes store events of one run, are killed, and the others go on."""
    run_id = create_run_for_test(instance).run_id
    with talkers(3, WRITES, home, run_id) as writers:
        last = []
        for writer in writers:
            while (line := writer.hear()) != "20":
                assert line
        for writer in writers:
            report(instance, run_id, "meanwhile")
            writer.process.kill()
            heard = writer.process.stdout.read().split()
            last.append(int(heard[-1]) if heard else 20)
    found = reported(instance, run_id)
    assert found.count("meanwhile") == 3
    for number in range(max(last) + 1):
        assert found.count(str(number)) >= sum(number <= stored for stored in last)
    assert_whole(home)


@pytest.mark.parametrize("opened", [pooled_instance, plain_instance])
def test_who_watches_a_run_sees_each_event_while_its_process_goes_on(
    instance: DagsterInstance, home: Path, opened: Callable[[Path], DagsterInstance]
):
    """Dagster's UI reads new events when the file of the run changes; a connection that stays open leaves it alone."""
    run_id = create_run_for_test(instance).run_id
    seen: list[str] = []
    with opened(home) as ui:
        ui.watch_event_logs(run_id, None, lambda entry, _: seen.append(entry.message))
        for number in range(20):
            report(instance, run_id, number)
            assert eventually(lambda count=number + 1: len(seen) == count), seen
    assert seen == [f"{PREFIX}{number}" for number in range(20)]


def open_files(folder: Path) -> set[str]:
    """The databases in this folder that this process has open."""
    paths = [Path(file.path) for file in psutil.Process().open_files()]
    return {path.name for path in paths if path.is_relative_to(folder) and path.suffix == ".db"}


def test_the_files_of_many_runs_do_not_stay_open(instance: DagsterInstance, home: Path):
    run_ids = [create_run_for_test(instance).run_id for _ in range(20)]
    for run_id in run_ids:
        report(instance, run_id, "once")
    assert 3 <= len(open_files(home)) <= 10
    assert all(reported(instance, run_id) == ["once"] for run_id in run_ids)
    instance.dispose()
    assert open_files(home) == set()


def test_the_file_of_a_run_that_another_process_deleted_is_let_go(instance: DagsterInstance, home: Path):
    run_id = create_run_for_test(instance).run_id
    report(instance, run_id, "once")
    for file in (home / "history" / "runs").glob(f"{run_id}.db*"):
        file.unlink()
    assert reported(instance, run_id) == []
    report(instance, run_id, "again")
    assert reported(instance, run_id) == ["again"]


def test_all_files_can_be_wiped(instance: DagsterInstance):
    materialize([an_asset], instance=instance)
    instance.wipe()
    assert instance.get_runs() == []
    assert materialize([an_asset], instance=instance).success
    assert len(instance.get_runs()) == 1


def test_after_an_error_the_next_transaction_has_a_new_connection(instance: DagsterInstance):
    run_id = create_run_for_test(instance).run_id
    report(instance, run_id, "before")
    with suppress(KeyboardInterrupt), instance.event_log_storage.run_connection(run_id) as connection:
        connection.execute(text("DELETE FROM event_logs"))
        raise KeyboardInterrupt
    with connections() as opened:
        assert reported(instance, run_id) == ["before"]
    assert opened == [f"{run_id}.db"]


def test_a_writer_waits_for_another_one(instance: DagsterInstance, home: Path):
    run_id = create_run_for_test(instance).run_id
    other = sqlite3.connect(home / "history" / "runs" / "index.db", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.0, other.rollback)
    started = time.monotonic()
    release.start()
    materialize([an_asset], instance=instance)
    assert time.monotonic() - started >= 0.9
    assert instance.get_latest_materialization_event(an_asset.key)
    assert instance.has_run(run_id)
    other.close()


def assert_whole(home: Path) -> None:
    for path in (home / "history").rglob("*.db"):
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        connection.close()
