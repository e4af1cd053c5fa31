"""Who may request a run: claims on the documents of `retraining_triggers`, and how those end."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.triggers import (
    FEEDBACK_VOLUME,
    Claim,
    Trigger,
    claim,
    mark_expired,
    mark_launched,
    new_trigger,
    newest_trigger,
    record_outcome,
    status_of,
    volume_trigger_id,
    weekly_trigger_id,
)
from resources.errors import MongoRefused
from tests.support.retrainings import partition

Triggers = Collection[dict[str, Any]]
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
FIELDS = {"kind": "feedback_volume", "number": 3, "specialist": "technical", "week": "2026-03-15", "requested_at": NOW}
TECHNICAL = Specialist("technical")
NEW = {"_id": "a", "trigger_id": "a", "status": "pending", "outcome": "requested"}
"""What a claim adds to the fields."""


@pytest.fixture
def triggers(database: Database[dict[str, Any]]) -> Triggers:
    return database["retraining_triggers"]


def document(triggers: Triggers) -> dict[str, Any]:
    (found,) = triggers.find()
    return found


def over(triggers: Triggers) -> None:
    """Expire every claim."""
    triggers.update_many({}, {"$set": {"claimed_until": datetime.now(UTC) - timedelta(seconds=1)}})


def test_the_first_claim_creates_the_document(triggers: Triggers):
    lease, before = timedelta(seconds=60), datetime.now(UTC)
    assert claim(triggers, "a", FIELDS, lease_s=60) is Claim.OURS
    found = document(triggers)
    # MongoDB keeps milliseconds.
    assert before - timedelta(milliseconds=1) <= found.pop("claimed_until") - lease <= datetime.now(UTC)
    assert found == {**NEW, **FIELDS}


def test_a_text_that_looks_like_an_expression_is_kept_as_it_is(triggers: Triggers):
    claim(triggers, "a", FIELDS | {"reason": "$week and $$NOW"}, lease_s=60)
    assert document(triggers)["reason"] == "$week and $$NOW"


def test_a_valid_claim_belongs_to_its_owner(triggers: Triggers):
    claim(triggers, "a", FIELDS, lease_s=60)
    before = document(triggers)
    assert claim(triggers, "a", FIELDS | {"number": 9}, lease_s=60) is Claim.THEIRS
    assert document(triggers) == before


def test_an_expired_claim_is_taken_over_once(triggers: Triggers):
    claim(triggers, "a", FIELDS, lease_s=60)
    over(triggers)
    assert claim(triggers, "a", {}, lease_s=60) is Claim.OURS
    assert claim(triggers, "a", {}, lease_s=60) is Claim.THEIRS
    assert document(triggers)["number"] == 3


@pytest.mark.parametrize("status", ["launched", "expired", "promoted", "broken", "retrying"])
def test_a_launched_trigger_is_not_claimed_again(triggers: Triggers, status: str):
    triggers.insert_one({"_id": "a", "status": status})
    assert claim(triggers, "a", FIELDS, lease_s=60) is Claim.SETTLED
    assert document(triggers) == {"_id": "a", "status": status}


@pytest.fixture
def clients(mongod_uri: str) -> Iterator[list[MongoClient[dict[str, Any]]]]:
    opened: list[MongoClient[dict[str, Any]]] = [MongoClient(mongod_uri, tz_aware=True) for _ in range(8)]
    yield opened
    for one in opened:
        one.close()


@pytest.mark.parametrize("there", [False, True], ids=["new", "run out"])
def test_one_of_many_simultaneous_claims_succeeds(
    triggers: Triggers,
    clients: list[MongoClient[dict[str, Any]]],
    there: bool,  # noqa: FBT001 - a table
):
    for turn in range(10):
        if there:
            claim(triggers, f"{turn}", FIELDS, lease_s=60)
            over(triggers)
        together = threading.Barrier(len(clients))
        found: list[Claim] = []

        def attempt(client: MongoClient[dict[str, Any]], name: str, together=together, found=found) -> None:
            together.wait()
            found.append(claim(client[triggers.database.name][triggers.name], name, FIELDS, lease_s=60))

        threads = [threading.Thread(target=attempt, args=(client, f"{turn}")) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [Claim.OURS] + [Claim.THEIRS] * (len(clients) - 1)


def test_a_launched_run_is_recorded_once(triggers: Triggers):
    claim(triggers, "a", FIELDS, lease_s=60)
    mark_launched(triggers, "a", "run-1", NOW)
    mark_launched(triggers, "a", "run-2", NOW + timedelta(days=1))
    assert document(triggers) == {
        **NEW,
        **FIELDS,
        "status": "running",
        "outcome": "launched",
        "run_id": "run-1",
        "launched_at": NOW,
    }


def test_a_trigger_expires_with_its_claim_and_not_before(triggers: Triggers):
    """Its owner may be launching the run just now, even if a new week has started."""
    claim(triggers, "a", FIELDS, lease_s=60)
    mark_expired(triggers, "a")
    assert document(triggers)["outcome"] == "requested"
    over(triggers)
    mark_expired(triggers, "a")
    assert document(triggers) == {**NEW, **FIELDS, "status": "failed", "outcome": "expired"}


def test_a_launched_trigger_does_not_expire(triggers: Triggers):
    claim(triggers, "a", FIELDS, lease_s=60)
    mark_launched(triggers, "a", "run-1", NOW)
    mark_expired(triggers, "a")
    assert document(triggers)["outcome"] == "launched"


RESULT = {"outcome": "promoted", "run_id": "run-1", "reason": "passed", "broken_by": None, "finished_at": NOW}
ORIGIN = {"kind": "other", "number": 0, "specialist": "business", "week": "2026-01-04", "requested_at": NOW}


def test_an_outcome_completes_the_document_of_its_trigger(triggers: Triggers):
    claim(triggers, "a", FIELDS, lease_s=60)
    record_outcome(triggers, "a", ORIGIN, RESULT)
    assert document(triggers) == {**NEW, **FIELDS, **RESULT, "status": "completed"}


def test_a_run_without_a_trigger_gets_its_own_document(triggers: Triggers):
    record_outcome(triggers, "run:run-1", ORIGIN, RESULT)
    assert document(triggers) == {
        "_id": "run:run-1",
        "trigger_id": "run:run-1",
        **ORIGIN,
        **RESULT,
        "status": "completed",
    }


def test_an_outcome_recorded_twice_changes_nothing(triggers: Triggers):
    record_outcome(triggers, "a", ORIGIN, RESULT)
    record_outcome(triggers, "a", ORIGIN | {"requested_at": NOW + timedelta(days=1)}, RESULT)
    assert document(triggers) == {"_id": "a", "trigger_id": "a", **ORIGIN, **RESULT, "status": "completed"}


def test_the_sensors_newest_trigger_has_the_highest_number(triggers: Triggers):
    assert newest_trigger(triggers, TECHNICAL, FEEDBACK_VOLUME) is None
    for number in (2, 10, 9):
        claim(triggers, f"volume-{number}", FIELDS | {"number": number}, lease_s=60)
    claim(triggers, "weekly", FIELDS | {"kind": "weekly", "number": 99}, lease_s=60)
    claim(triggers, "other", FIELDS | {"specialist": "business", "number": 99}, lease_s=60)
    mark_launched(triggers, "volume-10", "run-1", NOW)
    assert newest_trigger(triggers, TECHNICAL, FEEDBACK_VOLUME) == Trigger(
        id="volume-10",
        partition=partition("2026-03-15"),
        number=10,
        outcome="launched",
        run_id="run-1",
        requested_at=NOW,
    )


def test_ids_of_triggers_follow_from_what_they_request():
    assert volume_trigger_id(TECHNICAL, 4, NOW) == "feedback_volume:technical:4:20260320T120000"
    assert volume_trigger_id(TECHNICAL, 1, None) == "feedback_volume:technical:1"
    assert weekly_trigger_id(partition("2026-11-15", "behavior")) == "weekly:behavior|2026-11-15"


@pytest.fixture
def foreign(triggers: Triggers) -> Triggers:
    """The collection as the field has it: a unique index on `trigger_id`, and documents of another program."""
    triggers.create_index("trigger_id", unique=True)
    triggers.insert_one({"trigger_id": "retrain-1", "specialist_type": "technical", "status": "pending"})
    return triggers


def test_a_foreign_unique_index_on_trigger_id_keeps_no_claim_from_its_owner(foreign: Triggers):
    """Without the field, the second document would be a duplicate of the first, and count as claimed by somebody."""
    assert [claim(foreign, name, FIELDS, lease_s=60) for name in ("a", "b", "a")] == [
        Claim.OURS,
        Claim.OURS,
        Claim.THEIRS,
    ]
    record_outcome(foreign, "run:1", ORIGIN, RESULT)
    record_outcome(foreign, "run:2", ORIGIN, RESULT)
    ours = list(foreign.find({"kind": {"$exists": True}}))
    assert [one["trigger_id"] for one in ours] == [one["_id"] for one in ours] == ["a", "b", "run:1", "run:2"]


def test_a_clash_with_another_foreign_index_is_an_error_that_names_it(triggers: Triggers):
    """It must not look like a claim of somebody else: nobody would ever request the run."""
    triggers.create_index([("specialist_type", 1), ("week", 1)], unique=True)
    claim(triggers, "a", FIELDS, lease_s=60)
    with pytest.raises(MongoRefused, match=r"retraining_triggers on specialist_type, week refuses the document 'b'"):
        claim(triggers, "b", FIELDS, lease_s=60)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("requested", "pending"),
        ("launched", "running"),
        ("retrying", "running"),
        ("expired", "failed"),
        ("broken", "failed"),
        ("refused", "failed"),
        ("promoted", "completed"),
        ("held", "completed"),
        ("superseded", "completed"),
        ("unchanged", "completed"),
    ],
)
def test_status_is_one_of_the_words_that_other_programs_know(outcome: str, status: str):
    assert status_of(outcome) == status


def test_a_new_document_carries_what_other_programs_read(triggers: Triggers):
    of = partition("2026-03-15")
    claim(triggers, "a", new_trigger("weekly", of, count=7, window_days=30, requested_at=NOW), lease_s=60)
    record_outcome(triggers, "a", ORIGIN, RESULT | {"metadata.mlflow_run_id": "abc"})
    read_by_others = ("specialist_type", "triggered_at", "feedback_count", "feedback_window_days", "status", "metadata")
    found = document(triggers)
    assert {name: found[name] for name in read_by_others} == {
        "specialist_type": "technical",
        "triggered_at": NOW,
        "feedback_count": 7,
        "feedback_window_days": 30,
        "status": "completed",
        "metadata": {"mlflow_run_id": "abc"},
    }
