"""A window is read from one point in time, or says that it was not."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from resources.embedded_mongo import embedded_mongod
from resources.mongo import read_consistently, snapshot
from tests.support.mongod import OwnMongod, mongo


def test_a_standalone_server_gives_no_snapshot_and_a_warning(lone: OwnMongod, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING), mongo(lone.uri).database() as database, snapshot(database) as session:
        assert session is None
    assert "standalone" in caplog.text


def test_a_replica_set_gives_a_snapshot_and_no_warning(
    database: Database[dict[str, Any]], caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING), snapshot(database) as session:
        assert session is not None
    assert caplog.text == ""


def test_reads_of_a_snapshot_do_not_see_what_is_written_meanwhile(database: Database[dict[str, Any]]):
    database.feedback.insert_one({"_id": 1})

    def read(session: Any) -> list[int]:
        before = database.feedback.count_documents({}, session=session)
        database.feedback.insert_one({"_id": 2})
        database.feedback.delete_one({"_id": 1})
        return [before, *(one["_id"] for one in database.feedback.find(session=session))]

    seen, as_of = read_consistently(database, read)
    assert seen == [1, 1]
    assert [one["_id"] for one in database.feedback.find()] == [2]
    assert as_of[:4].isdigit()
    assert as_of.endswith("+00:00")


def test_reading_from_a_standalone_server_reports_no_single_point_in_time(lone: OwnMongod):
    with mongo(lone.uri).database() as database:
        seen, as_of = read_consistently(database, lambda session: (session, database.nothing.find_one()))
    assert seen == (None, None)
    assert "standalone" in as_of


def test_a_server_that_refuses_a_snapshot_is_read_without_one(
    lone: OwnMongod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """It may be another server than the one that said `hello`."""
    with mongo(lone.uri).database() as database:
        monkeypatch.setattr(
            "resources.mongo.snapshot", lambda _: database.client.start_session(snapshot=True), raising=True
        )
        seen, as_of = read_consistently(database, lambda session: (session, database.nothing.find_one(session=session)))
    assert seen == (None, None)
    assert "no single point in time" in as_of
    assert "standalone" in caplog.text


def test_a_replica_set_older_than_5_0_is_read_without_a_snapshot(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """MongoDB 4.4 has the wire version 9. pymongo raises ConfigurationError when it would send the first read."""
    from pymongo.synchronous.pool import Connection

    older = property(lambda _: 9, lambda self, version: vars(self).update(max_wire_version=version))
    monkeypatch.setattr(Connection, "max_wire_version", older, raising=False)
    seen, as_of = read_consistently(database, lambda session: (session, database.nothing.find_one(session=session)))
    assert seen == (None, None)
    assert "older than 5.0" in as_of
    assert "Snapshot reads require MongoDB 5.0" in caplog.text


def test_a_snapshot_refused_because_of_a_new_index_is_tried_again(database: Database[dict[str, Any]]):
    attempts = []

    def read(session: Any) -> int:
        attempts.append(session)
        if len(attempts) == 1:
            # A snapshot older than an index cannot read its collection: the first attempt is refused.
            assert database.other.count_documents({}, session=session) == 0
            database.feedback.insert_one({"_id": 1})
            database.feedback.create_index("submitted_at")
        return database.feedback.count_documents({}, session=session)

    seen, _ = read_consistently(database, read)
    assert seen == 1
    assert len(attempts) > 1


@pytest.fixture
def without_history(tmp_path: Path) -> Iterator[Database[dict[str, Any]]]:
    """A database on a server of its own, which keeps no history: other tests read snapshots from the shared one."""
    with embedded_mongod(tmp_path / "mongod") as uri, MongoClient[dict[str, Any]](uri) as client:
        client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
        yield client.get_database("test")


@pytest.mark.servers
def test_a_read_longer_than_the_server_s_history_is_made_without_a_snapshot_and_says_so(
    without_history: Database[dict[str, Any]], caplog: pytest.LogCaptureFixture
):
    """A million documents on a busy machine took longer than the usual five minutes; so would the next attempt."""
    without_history.feedback.insert_one({"_id": "before"})
    sessions = []

    def read(session: Any) -> int:
        sessions.append(session)
        first = without_history.feedback.count_documents({}, session=session)
        for number in range(10):
            without_history.feedback.insert_one({"attempt": len(sessions), "number": number})
            time.sleep(0.2)
        return without_history.feedback.count_documents({}, session=session) - first

    with caplog.at_level(logging.WARNING):
        seen, as_of = read_consistently(without_history, read)
    assert [session is None for session in sessions] == [False, False, True]
    assert seen == 10
    assert as_of.startswith("no single point in time: reading took longer")
    assert "it is read without a snapshot" in caplog.text


def test_an_error_that_is_not_about_the_snapshot_is_not_tried_again(database: Database[dict[str, Any]]):
    attempts = []

    def read(session: Any) -> None:
        attempts.append(session)
        database.feedback.find_one({"$nosuch": 1}, session=session)

    with pytest.raises(OperationFailure, match="nosuch"):
        read_consistently(database, read)
    assert len(attempts) == 1
