"""Text that is not UTF-8, code, and ids that only the server calls equal: each stops its own document alone."""

import pytest
from bson import Code
from pymongo.database import Database

from tests.support.documents import Document, feedback, opinion, plan, put, task
from tests.support.strange_values import BAD_BYTES, as_stored
from tests.support.windows import read, rejected, rows

OWN = plan(tasks=[task("own")])


def store(database: Database, collection: str, document: Document) -> None:
    """Insert a document with bytes that are not UTF-8, which pymongo would not write."""
    put(database)
    database[collection].insert_one(as_stored({"_id": "it", **document}))


@pytest.mark.parametrize("field", ["feedback_id", "opinion_id", "human_recommendation", "submitted_at"])
@pytest.mark.parametrize("text", [BAD_BYTES, f"2026-03-01{BAD_BYTES}", f"1999-01-01{BAD_BYTES}"])
def test_feedback_with_a_needed_field_that_is_not_utf8_is_unreadable(database: Database, field: str, text: str):
    """One such document once broke the run, and no message named it."""
    put(database, opinions=[opinion(1), opinion(2)], feedback=[feedback(1)])
    store(database, "specialist_feedback", feedback(2, **{field: text}))
    result = read(database)
    assert result.rows["feedback_id"].tolist() == ["feedback-1"]
    assert [str(one["reason"]) for one in result.quarantine] == ["unreadable_document"]


@pytest.mark.parametrize("field", ["feedback_notes", "submitted_by", "metadata", "plan_id", "_id", BAD_BYTES])
def test_a_field_that_is_not_needed_may_be_anything(database: Database, field: str):
    put(database, opinions=[opinion(2)])
    store(database, "specialist_feedback", feedback(2, **{field: BAD_BYTES}))
    assert rows(database) == ["feedback-2"]
    assert rejected(database) == {}


def test_rejected_feedback_is_kept_even_if_its_own_id_is_not_utf8(database: Database):
    """Such an `_id` cannot be asked for."""
    store(database, "specialist_feedback", feedback(2, _id={"a": BAD_BYTES}, metadata={"more": 1}))
    (entry,) = read(database).quarantine
    assert entry["reason"] == "unknown_opinion"
    assert entry["document"]["metadata"] == {"more": 1}
    assert entry["document"]["_id"] == {"a": r"\xff\xfe\xc3(\x80"}


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        pytest.param({**OWN, "original_domain": BAD_BYTES}, "unreadable_document", id="domain"),
        pytest.param({**OWN, "original_priority": BAD_BYTES}, "unreadable_document", id="priority"),
        pytest.param({**OWN, "tasks": [task("a", description=BAD_BYTES)]}, "unreadable_document", id="description"),
        pytest.param({**OWN, "tasks": [task(BAD_BYTES)]}, "unreadable_document", id="task id"),
        pytest.param({**OWN, "tasks": [task("a", dependencies=[BAD_BYTES])]}, "unreadable_document", id="dependency"),
        pytest.param(
            {**OWN, "tasks": [task("a", task_type=BAD_BYTES)], "original_domain": 7},
            "unreadable_document",
            id="the first of two reasons",
        ),
        pytest.param({**OWN, "title": BAD_BYTES, "tasks": [task("a", name=BAD_BYTES)]}, None, id="what none reads"),
        pytest.param({**OWN, "original_domain": Code("x")}, "invalid_plan", id="code as a domain"),
        pytest.param({**OWN, "tasks": [task("a", description=Code("x"))]}, "invalid_plan", id="code as a description"),
    ],
)
def test_a_plan_is_unreadable_if_a_text_that_a_feature_reads_is_not_utf8(
    database: Database, own: Document, reason: str | None
):
    put(database, feedback=[feedback(1), feedback(2)], opinions=[opinion(2)])
    store(database, "specialist_opinions", opinion(1, cognitive_plan=own))
    assert rejected(database) == ({"feedback-1": reason} if reason else {})
    assert "feedback-2" in rows(database)


def test_an_opinion_whose_plan_id_is_not_utf8_is_unreadable(database: Database):
    """The plan id decides the split of the row."""
    put(database, feedback=[feedback(1)])
    store(database, "specialist_opinions", opinion(1, plan_id=BAD_BYTES))
    assert rejected(database) == {"feedback-1": "unreadable_document"}


def test_stored_features_that_are_not_utf8_are_computed_instead(database: Database):
    put(database, feedback=[feedback(1)], opinions=[opinion(1)])
    store(database, "plan_features", {"plan_id": "plan-1", "features": f"{{{BAD_BYTES}"})
    assert read(database).stored == 0
    assert rows(database) == ["feedback-1"]


def test_ids_that_only_the_server_s_collation_calls_equal_are_different(database: Database):
    for name in ("specialist_feedback", "specialist_opinions", "cognitive_ledger", "plan_features"):
        database.create_collection(name, collation={"locale": "en", "strength": 2})
    put(
        database,
        opinions=[opinion("A"), opinion("b", plan_id=7), opinion("C", specialist="Technical"), opinion("E")],
        feedback=[feedback("a"), feedback("B"), feedback("C"), feedback("D", specialist="TECHNICAL"), feedback("E")],
    )
    assert rejected(database) == dict.fromkeys(["feedback-a", "feedback-B", "feedback-C"], "unknown_opinion")
    assert rows(database) == ["feedback-E"]


def test_the_features_of_a_plan_with_a_similar_id_are_not_used(database: Database):
    database.create_collection("plan_features", collation={"locale": "en", "strength": 2})
    put(
        database,
        opinions=[opinion(1, cognitive_plan=None)],
        feedback=[feedback(1)],
        features=[{"plan_id": "PLAN-1", "features": {}}],
        plans=[{"plan_id": Code("plan-1"), "plan_data": OWN}, {"plan_id": ["plan-1"], "plan_data": OWN}],
    )
    assert rejected(database) == {"feedback-1": "missing_plan"}


def test_code_is_no_string(database: Database):
    """In Python it is a subclass of str that cannot be hashed, so a look-up by it raises."""
    put(
        database,
        opinions=[opinion(1), opinion(2, plan_id=Code("plan-2")), opinion("x", opinion_id=Code("opinion-1"))],
        feedback=[
            feedback(1, metadata=1, feedback_id=Code("feedback-1")),
            feedback(1, metadata=2, opinion_id=Code("opinion-1")),
            feedback(1, metadata=3, human_recommendation=Code("approve")),
            feedback(2),
        ],
    )
    assert rows(database) == ["feedback-2"]
    reasons = {one["document"]["metadata"]: str(one["reason"]) for one in read(database).quarantine}
    assert reasons == {1: "missing_feedback_id", 2: "unknown_opinion", 3: "unknown_recommendation"}


def test_ids_too_long_for_one_query_are_asked_for_in_several(database: Database):
    """MongoDB accepts commands of 16 MiB, and an id may have almost as many."""
    for number in range(1, 8):
        name = str(number) * (3 * 1024 * 1024)
        put(database, opinions=[opinion(name)], feedback=[feedback(name, feedback_id=str(number))])
    assert rows(database) == ["1", "2", "3", "4", "5", "6", "7"]
