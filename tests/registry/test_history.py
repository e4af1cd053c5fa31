"""The history of the Production pointer, and what was there at any time."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.history import entries, in_production_at
from tests.support.documents import NOW

MODEL = "technical-evaluator"


def day(number: float) -> datetime:
    return NOW + timedelta(days=number)


@pytest.fixture
def log(database: Any) -> Any:
    return database[AUDIT_LOG]


def put(log: Any, kind: str, version: str | None, at: float, **fields: Any) -> None:
    """An entry. Moves of ours have the server's time of their end, which counts."""
    moved = {"state": "done", "released_at": day(at)} if kind in ("promoted", "rolled_back", "adopted") else {}
    log.insert_one({"kind": kind, "model": MODEL, "version": version, "at": day(at), **moved, **fields})


def there(log: Any, at: float) -> str | None:
    entry = in_production_at(log, MODEL, day(at))
    return entry and entry["version"]


def test_what_was_in_production_follows_promotions_and_rollbacks(log: Any):
    put(log, "promoted", "1", 1)
    put(log, "registered", "2", 2)
    put(log, "held", "2", 2)
    put(log, "promoted", "3", 3, from_version="1")
    put(log, "rolled_back", "1", 4, from_version="3")
    assert [there(log, at) for at in (0.5, 1, 2.5, 3, 3.9, 4)] == [None, "1", "1", "3", "3", "1"]


def test_a_move_that_is_not_finished_does_not_count(log: Any):
    put(log, "promoted", "1", 1)
    log.insert_one({"kind": "promotion", "model": MODEL, "version": "2", "state": "open", "at": day(2)})
    assert there(log, 3) == "1"
    assert [entry["kind"] for entry in entries(log, MODEL)] == ["promoted"]


def test_the_end_of_a_move_counts_not_its_begin(log: Any):
    put(log, "promoted", "1", 1)
    put(log, "promoted", "2", 2)
    log.update_one({"version": "2"}, {"$set": {"released_at": day(3)}})
    assert [there(log, 2.5), there(log, 3)] == ["1", "2"]


def test_a_move_by_somebody_else_counts_until_it_is_settled_or_taken_back(log: Any):
    put(log, "promoted", "1", 1)
    put(log, "foreign_move", "7", 2, state="settled", settled_at=day(3), from_version="1")
    assert [there(log, 2), there(log, 2.9), there(log, 3)] == ["7", "7", "1"]
    put(log, "foreign_move", "8", 4, state="settled", settled_at=day(5.1), from_version="1")
    put(log, "adopted", "8", 5)
    assert [there(log, 4), there(log, 5), there(log, 6)] == ["8", "8", "8"]


def test_the_newest_entry_comes_first_and_times_and_versions_select(log: Any):
    put(log, "registered", "1", 1)
    put(log, "promoted", "2", 2, from_version="1")
    put(log, "promoted", "3", 3, from_version="2")
    log.insert_one({"kind": "promoted", "model": "business-evaluator", "version": "2", "at": day(9)})
    assert [entry["version"] for entry in entries(log, MODEL)] == ["3", "2", "1"]
    assert [entry["version"] for entry in entries(log, MODEL, since=day(2))] == ["3", "2"]
    assert [entry["version"] for entry in entries(log, MODEL, version="1")] == ["2", "1"]
    put(log, "files_deleted", None, 4, versions=["2", "1"])
    assert [entry["kind"] for entry in entries(log, MODEL, version="1")] == ["files_deleted", "promoted", "registered"]
