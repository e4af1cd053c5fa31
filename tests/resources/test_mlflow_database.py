"""The SQLite file of the embedded MLflow: nobody sees it before it is complete."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import artifacts

from resources.errors import MlflowRefused, MlflowUnavailable
from resources.mlflow import Mlflow
from resources.mlflow_database import require_database
from tests.support.mlflows import home, restored_environment
from tests.support.processes import killed_at_statement

__all__ = ["home", "restored_environment"]

OPENS = """
import sys
from pathlib import Path
from resources.mlflow import Mlflow
server = Mlflow(uri=None, home=Path(sys.argv[1]), timeout_s=10)
with server.client() as client:
    client.search_experiments()
"""


def execute(database: Path, *statements: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        rows = [connection.execute(statement).fetchall() for statement in statements]
        connection.commit()
    return rows[-1]


def experiments(folder: Path) -> list[str]:
    with Mlflow(uri=None, home=folder, timeout_s=10).client() as client:
        return [experiment.name for experiment in client.search_experiments()]


@pytest.mark.servers
def test_a_process_that_is_killed_while_it_makes_the_database_leaves_none(tmp_path: Path):
    """Killed in its middle, MLflow's own way leaves a file that never opens: table secrets already exists."""
    folder = tmp_path / "mlflow"
    killed_at_statement(800, ".mlflow.db.draft", OPENS, folder)
    assert (folder / ".mlflow.db.draft").stat().st_size > 100_000
    assert not (folder / "mlflow.db").exists()
    assert experiments(folder) == ["Default"]
    assert [path.name for path in folder.glob("*draft*")] == []


@pytest.mark.servers
def test_an_incomplete_file_of_a_killed_process_is_made_anew(tmp_path: Path):
    execute(tmp_path / "mlflow.db", "CREATE TABLE secrets (secret_id TEXT)", "CREATE TABLE experiments (name TEXT)")
    assert experiments(tmp_path) == ["Default"]


def test_a_complete_database_is_left_as_it_is(home: Path):
    require_database(home)  # The home is a copy of another one, so the first call changes its paths.
    before = (home / "mlflow.db").stat()
    require_database(home)
    after = (home / "mlflow.db").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_database_of_an_older_mlflow_is_migrated_in_a_copy(home: Path, monkeypatch: pytest.MonkeyPatch):
    from mlflow.store.db import utils

    [(newest,)] = execute(home / "mlflow.db", "SELECT version_num FROM alembic_version")
    execute(home / "mlflow.db", "UPDATE alembic_version SET version_num = 'older'")
    execute(home / "mlflow.db", "INSERT INTO experiments (experiment_id, name) VALUES (7, 'kept')")
    in_use = (home / "mlflow.db").stat().st_ino
    migrated: list[str] = []

    def upgrade(engine) -> None:
        migrated.append(Path(engine.url.database).name)
        assert execute(home / "mlflow.db", "SELECT version_num FROM alembic_version") == [("older",)]
        execute(Path(engine.url.database), f"UPDATE alembic_version SET version_num = '{newest}'")  # noqa: S608

    monkeypatch.setattr(utils, "_upgrade_db", upgrade)
    require_database(home)
    assert migrated == [".mlflow.db.draft"]
    assert (home / "mlflow.db").stat().st_ino != in_use
    assert execute(home / "mlflow.db", "SELECT name FROM experiments WHERE experiment_id = 7") == [("kept",)]
    require_database(home)
    assert len(migrated) == 1


def test_a_database_of_a_newer_mlflow_is_refused_and_left_as_it_is(home: Path):
    execute(home / "mlflow.db", "UPDATE alembic_version SET version_num = 'fromthefuture'")
    content = (home / "mlflow.db").read_bytes()
    with pytest.raises(MlflowRefused, match=r"mlflow\.db is damaged or from a newer MLflow .*fromthefuture"):
        require_database(home)
    assert (home / "mlflow.db").read_bytes() == content


def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path):
    (tmp_path / "mlflow.db").write_bytes(b"not a database " * 100)
    with pytest.raises(MlflowRefused, match="restore it from a backup"):
        require_database(tmp_path)
    assert (tmp_path / "mlflow.db").read_bytes() == b"not a database " * 100


def test_a_locked_database_is_away_for_a_while(home: Path, monkeypatch: pytest.MonkeyPatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path: connect(path, timeout=0.1))
    with closing(connect(home / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MlflowUnavailable, match="database is locked"):
            require_database(home)


def log_version(folder: Path) -> tuple[str, str]:
    """A run with a file, and a version whose files are those of the run; their numbers."""
    server = Mlflow(uri=None, home=folder, timeout_s=10)
    experiment = server.experiment_id("technical-specialist")
    with server.client() as client:
        run = client.create_run(experiment).info
        client.log_text(run.run_id, "a forest", "model/model.txt")
        client.create_registered_model("technical-evaluator")
        version = client.create_model_version("technical-evaluator", f"{run.artifact_uri}/model", run_id=run.run_id)
    return run.run_id, str(version.version)


def read_back(folder: Path, run_id: str, version: str) -> list[str]:
    """The same file, by its run and by its version."""
    with Mlflow(uri=None, home=folder, timeout_s=10).client():
        files = artifacts.load_text(artifacts.download_artifacts(run_id=run_id, artifact_path="model/model.txt"))
        model = Path(artifacts.download_artifacts(f"models:/technical-evaluator/{version}"))
        return [files, (model / "model.txt").read_text()]


NAMES = ["plain", "with blanks", "50% done", "a%20b", "why? #1"]


@pytest.mark.servers
@pytest.mark.parametrize("after", NAMES)
@pytest.mark.parametrize("before", ["plain", "a%20b #1"])
def test_a_folder_that_was_moved_keeps_its_files(tmp_path: Path, migrated_mlflow: Path, before: str, after: str):
    old, new = tmp_path / before / "mlflow", tmp_path / "elsewhere" / after / "mlflow"
    shutil.copytree(migrated_mlflow, old)
    run_id, version = log_version(old)
    assert read_back(old, run_id, version) == ["a forest"] * 2
    assert [path.name for path in (old / "artifacts").iterdir() if path.name != "0"] == ["technical-specialist"]
    new.parent.mkdir(parents=True)
    (tmp_path / before).rename(new.parent)
    assert read_back(new, run_id, version) == ["a forest"] * 2
    assert str(tmp_path / before) not in str(execute(new / "mlflow.db", "SELECT artifact_location FROM experiments"))
    server = Mlflow(uri=None, home=new, timeout_s=10)
    with server.client() as client:
        run_id = client.create_run(server.experiment_id("technical-specialist")).info.run_id
        client.log_text(run_id, "more", "more.txt")
    assert (new / "artifacts" / "technical-specialist" / run_id / "artifacts" / "more.txt").exists()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [after]


@pytest.mark.servers
def test_a_copy_has_its_own_files_and_a_database_that_was_moved_alone_keeps_its_old_ones(tmp_path: Path, home: Path):
    run_id, version = log_version(home)
    copy, alone = tmp_path / "copy", tmp_path / "alone"
    shutil.copytree(home, copy)
    alone.mkdir()
    shutil.copy(home / "mlflow.db", alone)
    (copy / "artifacts" / "technical-specialist" / run_id / "artifacts" / "model" / "model.txt").write_text("a copy")
    assert read_back(copy, run_id, version) == ["a copy"] * 2
    assert read_back(alone, run_id, version) == ["a forest"] * 2
    assert read_back(home, run_id, version) == ["a forest"] * 2


@pytest.mark.servers
def test_a_second_name_of_the_folder_changes_nothing(tmp_path: Path, home: Path):
    run_id, version = log_version(home)
    (tmp_path / "link").symlink_to(home)
    before = (home / "mlflow.db").read_bytes()
    assert read_back(tmp_path / "link", run_id, version) == ["a forest"] * 2
    assert (home / "mlflow.db").read_bytes() == before
