"""The readers answer every question as MLflow's own client does, and without importing it."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resources import mlflow_runs
from resources.errors import MlflowRefused, MlflowUnavailable
from resources.mlflow import Mlflow
from resources.mlflow_database import database_file
from resources.mlflow_reader import ALL
from resources.mlflow_runs import runs_there
from tests.registry.test_versions import Reads
from tests.support.mlflows import FITTING, at, embedded, home, restored_environment
from tests.support.processes import ROOT
from tests.support.registry_questions import MODEL, answers, fill, moves, plain, questions
from tests.support.servers import mlflow_server
from tests.support.web import website

__all__ = ["embedded", "home", "restored_environment"]


def test_the_reader_of_the_embedded_mlflow_answers_as_mlflows_client_does(embedded: Mlflow):
    with embedded.client() as client, embedded.reading() as reader:
        asked = questions(fill(client))
        expected = answers(client, asked)
        assert answers(reader, asked) == expected
        assert moves(client) == []
    assert len(expected["runs"][0]) == 2
    assert [name for name, said in expected.items() if said is None] == [
        *("model no model", "version 5", "version 7", "version latest", "no model's version"),
        *("no alias", "no model's alias", f"run {'0' * 32}"),
    ]


WORKSPACES = "SELECT 1 FROM pragma_table_info('model_versions') WHERE name = 'workspace'"
SAME_NAME_ELSEWHERE = f"""
    INSERT INTO registered_models (name, workspace) VALUES ('{MODEL}', 'elsewhere');
    INSERT INTO model_versions (name, version, current_stage, last_updated_time, workspace)
        VALUES ('{MODEL}', 99, 'Production', 4000000000000, 'elsewhere');
    INSERT INTO model_version_tags (name, version, key, value, workspace) VALUES ('{MODEL}', 1, 'x', 'y', 'elsewhere');
    INSERT INTO registered_model_aliases (name, alias, version, workspace)
        VALUES ('{MODEL}', 'production', 99, 'elsewhere');
"""  # noqa: S608 - our own names


@pytest.fixture
def tables(embedded: Mlflow, home: Path) -> sqlite3.Connection:
    """The tables of an MLflow that has workspaces, with the models of `fill`."""
    with embedded.client() as client:
        fill(client)
    connection = sqlite3.connect(database_file(home))
    if not connection.execute(WORKSPACES).fetchone():
        pytest.skip("MLflow 2 has no workspaces")
    return connection


def test_a_model_of_the_same_name_in_another_workspace_is_not_seen(embedded: Mlflow, tables: sqlite3.Connection):
    with embedded.reading() as reader:
        asked = {name: ask for name, ask in questions(["0" * 32, "0" * 32]).items() if "run" not in name}
        before = answers(reader, asked)
        tables.executescript(SAME_NAME_ELSEWHERE)
        assert answers(reader, asked) == before


def test_a_question_about_one_model_reads_no_whole_table(
    embedded: Mlflow, tables: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    whole: list[str] = []

    class Explained(sqlite3.Connection):
        def execute(self, query: str, values: Any = (), /) -> sqlite3.Cursor:
            if query.lstrip().startswith("SELECT") and "pragma" not in query:
                plan = super().execute(f"EXPLAIN QUERY PLAN {query}", values)
                whole.extend(what for *_, what in plan if "model" in what and "name=?" not in what)
            return super().execute(query, values)

    monkeypatch.setattr("resources.mlflow_tables.sqlite3.connect", Explained)
    with embedded.reading() as reader:
        reader.get_registered_model(MODEL)
        reader.get_model_version(MODEL, "1")
        reader.get_model_version_by_alias(MODEL, "production")
        assert len(reader.search_model_versions(f"name='{MODEL}'", 2, ["version_number DESC"])) == 2
        assert reader.search_model_versions(f"name='{MODEL}' and tags.`data` = 'd0'")
        assert whole == []
        assert reader.search_model_versions()
    assert whole, "a question about all versions reads a whole table"


@pytest.mark.servers
def test_the_reader_of_a_server_answers_as_mlflows_client_does(tmp_path: Path):
    with mlflow_server(tmp_path) as address:
        server = Mlflow(uri=address, home=tmp_path, timeout_s=60)
        with server.client() as client, server.reading() as reader:
            asked = questions(fill(client))
            assert answers(reader, asked) == answers(client, asked)
            assert moves(client) == []


@pytest.mark.parametrize("by", ["library", "reader"])
def test_runs_are_asked_for_together_and_only_what_is_missing_by_itself(
    embedded: Mlflow, monkeypatch: pytest.MonkeyPatch, by: str
):
    with embedded.client() as client:
        there = fill(client)
    gone, odd = "0" * 32, "somebody's run"
    with embedded.client() if by == "library" else embedded.reading() as asked:
        for at_once, requests in ((1, 4), (2, 3), (200, 2)):
            monkeypatch.setattr(mlflow_runs, "_AT_ONCE", at_once)
            reads = Reads(asked)
            found = runs_there(reads, [*there, gone, odd, there[0]])
            assert {run: plain(one) for run, one in found.items()} == {run: plain(asked.get_run(run)) for run in there}
            assert reads.requests == requests
        assert runs_there(reads, []) == {}
        assert reads.requests == 2


READS = """
import sys
from pathlib import Path
from resources.mlflow import Mlflow
with Mlflow(uri=sys.argv[1] or None, home=Path(sys.argv[2]), timeout_s=10).reading() as reader:
    assert list(reader.search_model_versions("name='technical-evaluator'")) == []
print(*(name for name in ("mlflow", "sqlalchemy", "alembic", "pandas") if name in sys.modules))
"""


def libraries_of_a_reader(address: str, home: Path) -> str:
    command = [sys.executable, "-c", READS, address, str(home)]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def test_a_reader_does_not_import_mlflow(embedded: Mlflow, home: Path):
    with embedded.client():
        """MLflow has seen that its tables fit."""
    assert libraries_of_a_reader("", home) == ""
    with website({**FITTING, "/api/2.0/mlflow/model-versions/search": (200, "{}")}) as site:
        assert libraries_of_a_reader(site.address, home) == ""


def test_after_another_mlflow_was_installed_it_is_asked_whether_the_tables_fit(embedded: Mlflow, home: Path):
    with embedded.client():
        """MLflow has seen that its tables fit."""
    record = home / ".mlflow.db.fits"
    record.write_text(record.read_text().replace("MLflow ", "MLflow 1."))
    assert "mlflow" in libraries_of_a_reader("", home)
    assert libraries_of_a_reader("", home) == ""


def test_a_server_that_fails_for_a_moment_is_asked_again_and_one_that_keeps_failing_is_unavailable():
    question = "/api/2.0/mlflow/model-versions/search"
    with website({**FITTING, question: [(503, "busy"), (200, "{}")]}) as site, at(site.address).reading() as reader:
        assert reader.search_model_versions("name='a'") == []
    posted = "/api/2.0/mlflow/runs/search"
    with website({**FITTING, posted: [(503, "busy"), (200, "{}")]}) as site, at(site.address).reading() as reader:
        assert reader.search_runs(["0"], "attributes.run_id IN ('a')", ALL) == []
    with (
        website({**FITTING, question: (503, "busy")}) as site,
        pytest.raises(MlflowUnavailable, match="answers 503"),
        at(site.address).reading() as reader,
    ):
        reader.search_model_versions("name='a'")


def test_a_server_that_ends_while_it_is_read_is_unavailable_and_one_that_refuses_is_refused():
    with website(FITTING) as site:
        entered = at(site.address).reading()
        reader = entered.__enter__()
    with pytest.raises(MlflowUnavailable, match="connection refused") as caught:
        reader_error(entered, lambda: reader.get_run("run"))
    assert "s3cret" not in str(caught.value)
    question = "/api/2.0/mlflow/runs/get"
    with (
        website({**FITTING, question: (403, "no")}) as site,
        pytest.raises(MlflowRefused, match="refuses user nhm"),
        at(site.address).reading() as reader,
    ):
        reader.get_run("run")


def reader_error(entered: Any, ask: Callable[[], Any]) -> None:
    """Ask in the body of an entered context manager, and leave it as `with` does."""
    try:
        ask()
    except Exception:
        entered.__exit__(*sys.exc_info())
        raise
