"""What errors of MLflow's client mean: which pass by themselves, and which need somebody's help."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from resources.errors import MlflowUnavailable
from resources.mlflow import Mlflow
from resources.mlflow_errors import Cause, cause_of
from tests.support.mlflows import embedded, home, restored_environment

__all__ = ["embedded", "home", "restored_environment"]


def of_a_database(text: str) -> MlflowException:
    """What MLflow's store raises when its database does."""
    error = MlflowException(text)
    error.__cause__ = OperationalError("SELECT 1", {}, Exception(text))
    return error


@pytest.mark.parametrize(
    "text",
    [
        "database is locked",
        "could not connect to server: Connection refused",
        "server closed the connection unexpectedly",
        "FATAL:  terminating connection due to administrator command",
        "FATAL:  the database system is starting up",
        'could not translate host name "db" to address: Temporary failure in name resolution',
        "FATAL:  sorry, too many clients already",
    ],
)
def test_a_database_that_is_away_is_so_for_a_while(text: str):
    assert cause_of(of_a_database(text)).away


@pytest.mark.parametrize(
    "text", ['connection to server at "db" failed: FATAL:  password authentication failed for user "mlflow"']
)
def test_a_database_that_refuses_the_login_does_so_until_somebody_changes_it(text: str):
    assert cause_of(of_a_database(text)) == Cause(denied=text)


@pytest.mark.parametrize(
    "text", ["no such table: runs", "no such column: runs.colour", "database disk image malformed"]
)
def test_other_errors_of_a_database_are_no_outage(text: str):
    assert cause_of(of_a_database(text)) == Cause()


def test_an_error_of_the_registry_is_no_outage():
    assert cause_of(MlflowException("model not found")) == Cause()


def test_a_connection_that_is_cut_while_a_file_is_read_is_an_outage():
    assert cause_of(requests.exceptions.ChunkedEncodingError("Connection broken: Connection reset by peer")).away


def test_a_file_that_a_proxy_refuses_has_the_status_of_the_proxy():
    response = requests.Response()
    response.status_code = 503
    assert cause_of(requests.HTTPError("no", response=response)) == Cause(status=503)
    assert cause_of(MlflowException("downloading: 502 Server Error: Bad Gateway for url")) == Cause(status=502)


def test_a_locked_sqlite_file_is_away_for_a_while(embedded: Mlflow, home: Path, monkeypatch: pytest.MonkeyPatch):
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def impatient(connection, _cursor, statement, *_: object) -> None:
        if "busy_timeout" in statement:
            connection.connection.execute("PRAGMA busy_timeout = 50")

    with embedded.client() as client:
        experiment = client.create_experiment("one")
    event.listen(Engine, "after_cursor_execute", impatient)
    try:
        with closing(sqlite3.connect(home / "mlflow.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(MlflowUnavailable, match="database is locked"), embedded.client() as client:
                client.create_run(experiment)
    finally:
        event.remove(Engine, "after_cursor_execute", impatient)


def test_a_host_without_an_address_is_away_for_a_while(tmp_path: Path):
    with (
        pytest.raises(MlflowUnavailable, match=r"name or service not known|name resolution"),
        Mlflow(uri="http://no-such-host.invalid:5000", home=tmp_path, timeout_s=5).client(),
    ):
        pass
