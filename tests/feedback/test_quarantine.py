"""Rejected feedback is kept once, with its reason, partition and run."""

import tracemalloc
from datetime import timedelta
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import QUARANTINE
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from nhm_assets.feedback import quarantine
from nhm_assets.feedback.mongo_batches import BATCH
from nhm_assets.feedback.quarantine import quarantine_entries, reason_counts, replace_quarantine
from nhm_assets.feedback.rules import Reason, Rejection
from tests.support.commands import Commands, listened
from tests.support.documents import NOW, feedback

PARTITION = Partition("2026-03-01", Specialist("technical"))


def entries(*documents: dict[str, Any], reason: Reason = Reason.INVALID_RATING) -> list[dict[str, Any]]:
    return quarantine_entries([Rejection(one["_id"], reason) for one in documents], documents)


def replace(
    database: Database, found: list[dict[str, Any]], *, partition: Partition = PARTITION, run_id: str = "run-1"
) -> dict[str, int]:
    """The number of entries that the partition keeps, per reason."""
    own = replace_quarantine(database[QUARANTINE], found, partition=partition, run_id=run_id, now=NOW)
    return reason_counts(own)


def kept(database: Database) -> list[tuple[str, str, str]]:
    found = database[QUARANTINE].find()
    return sorted((one["partition"], one["document"]["feedback_id"], one["dagster_run_id"]) for one in found)


def test_the_whole_document_is_kept_with_reason_partition_and_run(database: Database):
    document = {**feedback(1, _id=ObjectId()), "metadata": {"nested": [1, None, {"deep": "x"}]}, "unknown": 1}
    replace(database, entries(document))
    (found,) = database[QUARANTINE].find()
    assert found["document"] == document
    assert found["reason"] == "invalid_rating"
    assert (found["partition"], found["dagster_run_id"], found["quarantined_at"]) == (str(PARTITION.key), "run-1", NOW)


def test_equal_documents_count_once():
    first, second = feedback(1, _id="a"), feedback(1, _id="b")
    reordered = {"_id": "c", **dict(reversed(feedback(1).items()))}
    assert len(entries(first, second, reordered)) == 1


@pytest.mark.parametrize("fields", [{"human_rating": 2}, {"metadata": {"a": 1}}, {"submitted_by": None}, {"extra": ""}])
def test_documents_that_differ_in_anything_but_their_id_count_each(fields: dict):
    found = entries(feedback(1, _id="a"), feedback(1, _id="b", **fields))
    assert len({one["digest"] for one in found}) == 2


def test_a_document_may_have_a_map_as_its_id():
    document = feedback(1, _id={"source": "portal", "number": 7})
    assert [one["document"] for one in entries(document)] == [document]


def test_reasons_are_counted_in_their_order():
    found = [
        *entries(feedback(1, _id=1), feedback(2, _id=2), reason=Reason.MISSING_PLAN),
        *entries(feedback(3, _id=3), reason=Reason.MISSING_FEEDBACK_ID),
    ]
    assert list(reason_counts(found).items()) == [("missing_feedback_id", 1), ("missing_plan", 2)]
    assert reason_counts([]) == {}


def test_a_second_run_replaces_the_quarantine_without_duplicates(database: Database):
    one, two, three = (feedback(number, _id=number) for number in (1, 2, 3))
    replace(database, entries(one, two))
    replace(database, entries(two, three), run_id="run-2")
    assert kept(database) == [(str(PARTITION.key), "feedback-2", "run-2"), (str(PARTITION.key), "feedback-3", "run-2")]


def test_the_same_documents_under_other_ids_are_not_duplicated(database: Database):
    replace(database, entries(feedback(1, _id="a")))
    replace(database, entries(feedback(1, _id="b")), run_id="run-2")
    assert kept(database) == [(str(PARTITION.key), "feedback-1", "run-2")]


def test_the_next_run_completes_one_that_was_killed(database: Database):
    """It had written its entries, but not yet removed the earlier ones."""
    replace(database, entries(feedback(1, _id=1)))
    leftover = dict(database[QUARANTINE].find_one())
    replace(database, entries(feedback(2, _id=2)), run_id="run-2")
    database[QUARANTINE].insert_one(leftover)
    replace(database, entries(feedback(2, _id=2)), run_id="run-3")
    assert kept(database) == [(str(PARTITION.key), "feedback-2", "run-3")]


def test_without_rejections_only_the_quarantine_of_this_partition_is_emptied(database: Database):
    other = Partition("2026-02-22", Specialist("technical"))
    replace(database, entries(feedback(1, _id=1)))
    replace(database, entries(feedback(1, _id=1)), partition=other)
    replace(database, [])
    assert kept(database) == [(str(other.key), "feedback-1", "run-1")]


LAST_WEEK = Partition("2026-02-22", Specialist("technical"))


def undatable(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    faults = [Rejection(one["_id"], Reason.INVALID_SUBMITTED_AT, has_time=False) for one in documents]
    return quarantine_entries(faults, documents)


def test_a_document_without_a_usable_time_is_kept_once_and_not_once_per_partition(database: Database):
    """It lies in no window, so every partition finds it, for ever."""
    one, two = feedback(1, _id=1, submitted_at="soon"), feedback(2, _id=2, submitted_at=[[1]])
    assert replace(database, undatable(one), partition=LAST_WEEK) == {"invalid_submitted_at": 1}
    assert replace(database, undatable(one, two), run_id="run-2") == {"invalid_submitted_at": 1}
    assert replace(database, undatable(one, two), run_id="run-3") == {"invalid_submitted_at": 1}
    assert kept(database) == [
        (str(LAST_WEEK.key), "feedback-1", "run-1"),
        (str(PARTITION.key), "feedback-2", "run-3"),
    ]


def test_each_specialist_keeps_its_own_documents_without_a_time(database: Database):
    business = Partition("2026-03-01", Specialist("business"))
    found = undatable(feedback(1, _id=1, submitted_at="soon"))
    replace(database, found)
    assert replace(database, found, partition=business) == {"invalid_submitted_at": 1}
    assert len(kept(database)) == 2


def test_a_time_that_was_repaired_leaves_the_quarantine_by_the_run_of_any_partition(database: Database):
    replace(database, undatable(feedback(1, _id=1, submitted_at="soon")), partition=LAST_WEEK)
    replace(database, [])
    assert kept(database) == []


def test_many_entries_are_deleted_in_batches(mongod_uri: str, database: Database):
    """A command with the ids of 300,000 entries would be larger than MongoDB accepts."""
    replace(database, entries(*(feedback(number, _id=number) for number in range(2 * BATCH + 1))))
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as heard:
        replace(heard, [])
    deletes = [one["deletes"][0]["q"]["_id"]["$in"] for one in commands.sent if "delete" in one]
    assert [len(ids) for ids in deletes] == [BATCH, BATCH, 1]
    assert kept(database) == []


def test_a_repaired_document_leaves_the_quarantine(database: Database):
    broken = feedback(1, _id=1, human_rating="0.8", submitted_at=NOW - timedelta(days=15))
    replace(database, entries(broken))
    assert len(kept(database)) == 1
    replace(database, [])
    assert kept(database) == []


def test_however_many_are_rejected_their_kept_documents_are_small_together(monkeypatch: pytest.MonkeyPatch):
    """300,000 of 64 KiB each would take 18 GiB of memory. Later ones keep their ids, their reason and little else."""
    monkeypatch.setattr(quarantine, "LARGEST_TOGETHER", 100_000)
    documents = [feedback(number, _id=number, feedback_notes="x" * 20_000) for number in range(200)]
    found = entries(*documents)
    sizes = [len(bson.encode(one["document"])) for one in found]
    assert sum(sizes) < 300_000
    assert {one["reason"] for one in found} == {Reason.INVALID_RATING}
    later = [one for one in found if len(bson.encode(one["document"])) < 1500]
    assert len(later) > 150
    assert all(one["trimmed"] and one["document"]["feedback_id"].startswith("feedback-") for one in later)


def many(count: int) -> list[dict[str, Any]]:
    return [feedback(number, _id=ObjectId(), feedback_notes=f"{number} " * 20) for number in range(count)]


def test_entries_in_a_file_are_those_in_memory(monkeypatch: pytest.MonkeyPatch):
    documents = many(200)
    in_memory = entries(*documents)
    monkeypatch.setattr(quarantine, "_LARGEST_IN_MEMORY", 1000)
    in_file = entries(*documents)
    assert in_file._file._rolled
    assert not in_memory._file._rolled
    assert in_file == in_memory
    assert [one["digest"] for one in in_file] == sorted(one["digest"] for one in in_memory)
    assert in_file.without({in_file[0]["digest"]}) == in_memory[1:]


@pytest.mark.servers
def test_the_ten_thousandth_rejected_document_takes_as_little_memory_as_the_first(monkeypatch: pytest.MonkeyPatch):
    """Each once stayed in memory as a map of its fields, with two thousand bytes; now a digest and a place do."""
    monkeypatch.setattr(quarantine, "_LARGEST_IN_MEMORY", 1000)

    def peak(count: int) -> int:
        documents = many(count)
        tracemalloc.start()
        found = entries(*documents)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(found) == count
        return most

    assert peak(10_000) - peak(5_000) < 5_000 * 600
