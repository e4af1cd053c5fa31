"""Queries to MongoDB: few, regardless of the number of documents, and each with an index."""

from datetime import timedelta
from typing import Any

import pytest
from bson import decode_all
from pymongo.database import Database

from nhm_assets.domain.partitions import Partition
from nhm_assets.feedback.dataset_builder import read_window
from nhm_assets.feedback.mongo_batches import BATCH, READ_INDEXES, batches
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.stored_features import ensure_index
from nhm_assets.settings import Settings
from tests.support.commands import Commands, explained, listened, stages
from tests.support.documents import (
    NOW,
    WEEK,
    WEEK_END,
    WINDOW_START,
    Document,
    feedback,
    opinion,
    put,
    reviewed_opinions,
)
from tests.support.windows import ALL, NAMES


def fill(database: Database[Document], count: int) -> None:
    """This many reviewed opinions, with plans elsewhere and rejections, so that every query is necessary."""
    opinions, reviews = reviewed_opinions(count)
    ledger = [{"plan_id": one["plan_id"], "plan_data": one.pop("cognitive_plan")} for one in opinions[::3]]
    for one in reviews[::5]:
        one["human_rating"] = "high"
    put(database, opinions=opinions, feedback=[*reviews, *map(feedback, range(count // 10))], plans=ledger)
    ensure_index(database.plan_features)


def commands_of_a_read(uri: str, database: Database[Document]) -> Commands:
    """The commands that MongoDB receives while a window is read."""
    commands = Commands()
    with listened(uri, database.name, commands) as heard:
        reader = Reader(heard, NAMES, "technical", None)
        result = read_window(reader, Partition.parse(WEEK, "technical").window(days=30, now=NOW), ALL)
    assert len(result.rows)
    assert result.quarantine
    return commands


def test_ten_times_the_documents_of_one_batch_take_the_same_commands(mongod_uri: str, database: Database):
    fill(database, 18)
    few = commands_of_a_read(mongod_uri, database).names
    database.client.drop_database(database.name)
    fill(database, 180)
    many = commands_of_a_read(mongod_uri, database).names
    assert many == few
    assert len(few) < 12


def feedback_query(commands: Commands) -> dict[str, Any]:
    """The query that reads the window's feedback; others find rejected documents by `_id`, and undated ones."""
    (query,) = [one for one in commands.reads() if one.get("find") == NAMES.feedback and "$or" in one["filter"]]
    return query


def collection(command: dict[str, Any]) -> str:
    return str(next(iter(command.values())))


def scanned(database: Database[Document], commands: Commands) -> set[str]:
    """The collections that are read completely."""
    reads = commands.reads()
    assert {collection(one) for one in reads} == {NAMES.feedback, NAMES.opinions, NAMES.plans, NAMES.features}
    return {collection(one) for one in reads if "COLLSCAN" in stages(explained(database, one))}


def test_every_query_has_an_index(mongod_uri: str, database: Database):
    fill(database, 60)
    assert scanned(database, commands_of_a_read(mongod_uri, database)) == set()


@pytest.mark.parametrize("setting", READ_INDEXES)
def test_without_its_index_a_collection_is_read_completely(mongod_uri: str, database: Database, setting: str):
    """So every index that the platform creates is needed, and the test above can fail."""
    fill(database, 60)
    name = getattr(Settings(), setting)
    database[name].drop_indexes()
    assert scanned(database, commands_of_a_read(mongod_uri, database)) == {name}


def test_feedback_of_other_times_and_specialists_is_not_read(mongod_uri: str, database: Database):
    """A collection contains years of feedback; reading it all would take longer every week."""
    fill(database, 60)
    put(
        database,
        feedback=[
            *(feedback(f"late-{number}", submitted_at=WEEK_END) for number in range(300)),
            *(feedback(f"early-{number}", submitted_at=WINDOW_START - timedelta(days=9)) for number in range(300)),
            *(feedback(f"old-{number}", submitted_at="2024-03-01T12:00:00Z") for number in range(300)),
            *(feedback(f"other-{number}", specialist="business") for number in range(300)),
        ],
    )
    query = feedback_query(commands_of_a_read(mongod_uri, database))
    figures = explained(database, query)["executionStats"]
    assert figures["nReturned"] == 66
    assert figures["totalDocsExamined"] < 100


def test_only_the_fields_that_are_needed_are_read(database: Database):
    put(database, feedback=[feedback(1, metadata={"trace": "x"})], opinions=[opinion(1)])
    reader = Reader(database, NAMES, "technical", None)
    (answer,) = reader.feedback(Partition.parse(WEEK, "technical").window(days=30, now=NOW))
    (read,) = decode_all(answer)
    assert set(read) == {
        "_id",
        "feedback_id",
        "opinion_id",
        "plan_id",
        "specialist_type",
        "submitted_at",
        "human_rating",
        "human_recommendation",
        "feedback_notes",
        "feedback_source",
        "metadata",
    }
    assert read["metadata"] == {}


def test_a_null_in_a_plan_stays_a_null_and_a_missing_field_missing(database: Database):
    own = {"tasks": [{"task_id": "a", "description": None, "parameters": {"x": 1}}], "risk_score": None}
    put(database, opinions=[opinion(1, cognitive_plan=own)])
    read = Reader(database, NAMES, "technical", None).opinion_plans(["opinion-1"]).read()
    assert read["opinion-1"].decoded() == own


def test_of_two_opinions_with_one_id_the_same_counts_in_every_order(database: Database):
    """Ids should be unique, but another system assigns them."""
    twins = [opinion(1, _id=name, plan_id=f"plan-{name}", cognitive_plan={"tasks": [], "name": name}) for name in "ab"]
    reader = Reader(database, NAMES, "technical", None)
    answers = []
    for order in (twins, twins[::-1]):
        database.specialist_opinions.drop()
        put(database, opinions=order)
        plan_ids = {
            name: found["plan_id"] for name, found in reader.opinions(["opinion-1"], fields=["plan_id"]).items()
        }
        answers.append((plan_ids, reader.opinion_plans(["opinion-1"]).read()["opinion-1"].decoded()))
    assert answers == [({"opinion-1": "plan-b"}, {"tasks": [], "name": "b"})] * 2


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (BATCH, [BATCH]), (BATCH + 1, [BATCH, 1]), (2 * BATCH, [BATCH, BATCH])]
)
def test_batches_hold_everything_once(count: int, sizes: list[int]):
    split = list(batches(iter(range(count))))
    assert [len(batch) for batch in split] == sizes
    assert [item for batch in split for item in batch] == list(range(count))
