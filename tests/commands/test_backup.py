"""Dumps of the databases: stored, listed, restored into a new database, and made before a migration."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance

from nhm_assets.cli import main
from nhm_assets.commands.migrate import error_in
from nhm_assets.settings import Settings
from resources.backups import Backups
from resources.errors import StorageError
from tests.support.dagster_internals import forget_entered_instance
from tests.support.nhm import environment
from tests.support.postgres import USER, Postgres
from tests.support.processes import ROOT
from tests.support.retrainings import put_run

DUMP = b"PGDMP and more"
OLDER = "6b7fb194ff9c"
"""A version of Dagster's tables before today's."""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    forget_entered_instance()


def nhm(*arguments: object, **settings: object) -> Result:
    """Run `nhm` in this process."""
    return CliRunner().invoke(main, [str(one) for one in arguments], env=environment(**settings))


def dumps(folder: Path, content: bytes = DUMP) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.dump").write_bytes(content)
    return folder


def test_the_newest_back_ups_stay_and_any_of_them_can_be_fetched(tmp_path: Path):
    backups = Backups(str(tmp_path / "storage"))
    assert backups.all() == []
    for day in (1, 2, 3):
        files = [dumps(tmp_path / "made", DUMP + bytes([day])) / "dagster.dump"]
        backups.store(files, datetime(2026, 11, day, 0, 30, tzinfo=UTC))
    done = nhm("backup", "store", tmp_path / "made", "--keep", 2, nhm_storage=tmp_path / "storage")
    assert done.exit_code == 0, done.output
    listed = nhm("backup", "list", nhm_storage=tmp_path / "storage").output.splitlines()
    assert [line.split()[1] for line in listed] == ["dagster", "dagster"]
    assert listed[1] == "2026-11-03T00-30-00Z  dagster"
    taken = ("--taken", "2026-11-03T00-30-00Z")
    assert nhm("backup", "fetch", tmp_path / "back", *taken, nhm_storage=tmp_path / "storage").exit_code == 0
    assert (tmp_path / "back" / "dagster.dump").read_bytes() == DUMP + bytes([3])


def test_what_is_no_dump_is_not_stored_and_a_damaged_one_is_not_fetched(tmp_path: Path):
    storage = tmp_path / "storage"
    refused = nhm("backup", "store", dumps(tmp_path / "cut", b""), nhm_storage=storage)
    assert (refused.exit_code, "is no dump" in refused.output) == (1, True)
    assert nhm("backup", "store", tmp_path, nhm_storage=storage).exit_code == 2
    none = nhm("backup", "fetch", tmp_path / "back", nhm_storage=storage)
    assert (none.exit_code, "there is no back-up in NHM_STORAGE. `nhm backup store` makes" in none.output) == (2, True)
    assert nhm("backup", "store", dumps(tmp_path / "made"), nhm_storage=storage).exit_code == 0
    (stored,) = storage.glob("backups/*/*.dump")
    stored.write_bytes(DUMP[:-1])
    with pytest.raises(StorageError, match="damaged"):
        Backups(str(storage)).fetch(Backups(str(storage)).all()[0], tmp_path / "back")


@dataclass
class Databases:
    """A PostgreSQL server with Dagster's database, and the settings of a platform that uses it."""

    server: Postgres
    settings: dict[str, object]

    def run(self, program: str, *arguments: object) -> None:
        """A program of PostgreSQL against the server."""
        access = ["-h", "127.0.0.1", "-p", str(self.server.port), "-U", USER]
        command = [str(self.server.programs / program), *access, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def revision(self, database: str, new: str | None = None) -> str:
        """The version of a database's tables, as its migrations record it; `new` replaces it."""
        with psycopg2.connect(host="127.0.0.1", port=self.server.port, user=USER, dbname=database) as connection:
            cursor = connection.cursor()
            if new:
                cursor.execute("UPDATE alembic_version SET version_num = %s", (new,))
            cursor.execute("SELECT version_num FROM alembic_version")
            return str(cursor.fetchone()[0])


@pytest.fixture
def databases(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Databases:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "deploy" / "postgres" / "dagster.yaml").read_text())
    variables = postgres.new_database(f"d{uuid.uuid4().hex[:8]}")
    for name, value in {**variables, "MAX_CONCURRENT_RUNS": "1", "DAGSTER_HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    settings = {"dagster_home": home, "nhm_home": tmp_path / "nhm", "max_concurrent_runs": 1}
    return Databases(postgres, settings)


def runs(databases: Databases) -> list[str]:
    with DagsterInstance.from_config(str(databases.settings["dagster_home"])) as instance:
        return [run.run_id for run in instance.get_runs()]


@pytest.mark.servers
def test_a_restore_drill_brings_every_run_back_into_a_new_database(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As docs/kubernetes.md says: fetch, create a database, pg_restore."""
    with DagsterInstance.from_config(str(databases.settings["dagster_home"])) as instance:
        put = [put_run(instance) for _ in range(3)]
    made = tmp_path / "made"
    made.mkdir()
    databases.run("pg_dump", "-Fc", "-f", made / "dagster.dump", os.environ["DAGSTER_PG_DB"])
    assert nhm("backup", "store", made, **databases.settings).exit_code == 0

    with DagsterInstance.from_config(str(databases.settings["dagster_home"])) as instance:
        put_run(instance)
    assert nhm("backup", "fetch", tmp_path / "back", **databases.settings).exit_code == 0
    restored = f"r{uuid.uuid4().hex[:8]}"
    databases.server.new_database(restored)
    databases.run("pg_restore", "--exit-on-error", "--no-owner", "-d", restored, tmp_path / "back" / "dagster.dump")
    assert len(runs(databases)) == 4
    monkeypatch.setenv("DAGSTER_PG_DB", restored)
    assert set(runs(databases)) == set(put)


@pytest.mark.servers
def test_a_migration_stores_the_dumps_and_then_upgrades_both_databases(databases: Databases, tmp_path: Path):
    assert runs(databases) == []
    own = os.environ["DAGSTER_PG_DB"]
    newest = databases.revision(own)
    older = databases.revision(own, new=OLDER)
    assert older != newest
    cut = dumps(tmp_path / "cut", b"")
    refused = nhm("migrate", cut, **databases.settings)
    assert (refused.exit_code, databases.revision(own)) == (1, older), refused.output

    of_mlflow = f"m{uuid.uuid4().hex[:8]}"
    databases.server.new_database(of_mlflow)
    address = f"postgresql+psycopg2://{USER}@127.0.0.1:{databases.server.port}/{of_mlflow}"
    done = nhm("migrate", dumps(tmp_path / "made"), f"--mlflow-database={address}", **databases.settings)
    assert done.exit_code == 0, done.output
    assert databases.revision(own) == newest
    assert databases.revision(of_mlflow)
    assert len(Backups(Settings(**databases.settings).storage).all()) == 1


def test_a_failed_migration_names_the_error_and_not_the_link_below_it():
    link = "(Background on this error at: https://sqlalche.me/e/20/e3q8)"
    output = f"Traceback (most recent call last):\n  a\nOperationalError: refused\n\tIs it running?\n\n{link}\n"
    assert error_in(output) == "OperationalError: refused"
    assert error_in("") == "no reason given"


def test_a_migration_needs_dumps_or_the_word_that_there_are_none(tmp_path: Path):
    for arguments in ([], [dumps(tmp_path / "made"), "--without-backup"]):
        refused = nhm("migrate", *arguments, nhm_home=tmp_path / "nhm")
        assert (refused.exit_code, "nothing was upgraded" in refused.output) == (2, True)
