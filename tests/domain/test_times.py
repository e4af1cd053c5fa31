"""Counting new feedback: what counts as a time, and that the cost depends only on what is new."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.code import Code
from pymongo.database import Database

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.provenance import left_out, provenance_of
from nhm_assets.domain.selection import Selection
from nhm_assets.domain.specialists import Specialist
from nhm_assets.domain.times import count_feedback, count_feedback_of
from tests.support.commands import Commands, explained, listened, stages
from tests.support.reviews import review, review_at, spread

START = datetime(2026, 3, 18, 10, tzinfo=UTC)
END = datetime(2026, 3, 20, 12, tzinfo=UTC)
WINDOW = Window(START, END)
TECHNICAL = Specialist("technical")
A_MOMENT = timedelta(milliseconds=1)
PREFIXES = ("fb-auto-", "fb.bal+", "fb-human-")
UNSCRIPTED = Selection(0.0, PREFIXES, include_scripted=False)


def counted(database: Database[dict[str, Any]]) -> int:
    count = count_feedback(database["specialist_feedback"], TECHNICAL, WINDOW)
    windows = {"technical": WINDOW, "business": Window(END, END + A_MOMENT)}
    assert count_feedback_of(database["specialist_feedback"], windows)["technical"] == count
    return count


@pytest.mark.parametrize(
    "time",
    [
        START,
        END - A_MOMENT,
        "2026-03-18T10:00:00+00:00",
        "2026-03-18T10:00:00Z",
        "2026-03-18T10:00:00",
        "2026-03-18 10:00",
        "2026-03-18T10:00:00.000000",
        "2026-03-19",
        "2026-03-20T11:59:59.999999Z",
        "2026-03-20T13:59:59+02:00",
        "2026-03-21T01:59:59+14:00",
        "2026-03-17T22:00:00-12:00",
        "2026-03-17 22:00:00-1200",
        "2026-03-18T09:30-00:30",
        "2026-03-18T09:30:00.5-00:59:30 ",
        "2026-03-18 10",
        "2026-03-18T10",
    ],
)
def test_dates_and_strings_in_the_window_count_alike(database: Database[dict[str, Any]], time: datetime | str):
    review(database, 3, time)
    assert counted(database) == 3


@pytest.mark.parametrize(
    "time",
    [
        START - A_MOMENT,
        END,
        END + timedelta(days=400),
        "2026-03-18T09:59:59Z",
        "2026-03-18T11:59:59+02:00",
        "2026-03-20T12:00:00Z",
        "2026-03-20T11:30:00-01:00",
        "2026-03-18",
        "2026-03-20T25:00:00Z",
        "2026-03-19T",
        "2026-03-19 noon",
        "yesterday",
        "",
        None,
        1773900000,
    ],
)
def test_feedback_outside_the_window_or_without_a_time_does_not_count(database: Database[dict[str, Any]], time: Any):
    review(database, 3, time)
    assert counted(database) == 0


def test_specialists_are_counted_separately(database: Database[dict[str, Any]]):
    for specialist in ("business", "technical"):
        review_at(database, [START, "2026-03-19T00:00:00Z"], specialist)
    assert counted(database) == 2


def test_a_collection_that_does_not_exist_holds_nothing(database: Database[dict[str, Any]]):
    assert counted(database) == 0


@pytest.mark.parametrize("time", [START, START.isoformat()], ids=["date", "string"])
@pytest.mark.parametrize("named", [["technical"], ["business", "technical"]], ids=str)
def test_a_document_that_names_a_list_of_specialists_does_not_stop_the_count_of_all(
    database: Database[dict[str, Any]], named: Any, time: datetime | str
):
    review(database, 3, time)
    database["specialist_feedback"].insert_one({"specialist_type": named, "submitted_at": time})
    windows = dict.fromkeys(("technical", "business"), WINDOW)
    assert count_feedback_of(database["specialist_feedback"], windows) == {"technical": 3, "business": 0}


def test_a_window_that_ends_before_it_begins_holds_nothing(database: Database[dict[str, Any]]):
    """This happens when the clock is set back to replay a day."""
    review_at(database, [START, "2026-03-19T00:00:00Z"])
    assert count_feedback(database["specialist_feedback"], TECHNICAL, Window(END, START)) == 0


NEW = 40
OLD = 2000
OLD_DAYS = 100
MOST_KEYS = NEW + 5 + 2 * OLD / OLD_DAYS
"""Strings of the day before are looked at in the index."""


def test_a_string_that_is_midnight_counts_in_a_window_that_begins_at_midnight(database: Database[dict[str, Any]]):
    midnight = START.replace(hour=0)
    times = ["2026-03-18", "2026-03-18T00", "2026-03-18 00:00", "2026-03-18T00:00Z", "20260318", "2026-03-17T24:00"]
    review_at(database, times)
    assert count_feedback(database["specialist_feedback"], TECHNICAL, Window(midnight, END)) == 4


@pytest.fixture(params=["dates", "strings"])
def crowded(request: pytest.FixtureRequest, database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """Many old documents and few new ones, of two specialists, with times as dates or as strings."""
    old = spread(OLD, START - timedelta(days=OLD_DAYS), START - timedelta(hours=1))
    for specialist in ("technical", "business"):
        times = old + spread(NEW, START, END)
        spelled = times if request.param == "dates" else [time.isoformat() for time in times]
        review_at(database, spelled, specialist)
    return database


def plans(
    database: Database[dict[str, Any]], mongod_uri: str, without: list[dict[str, Any]] | None = None
) -> Iterator[dict[str, Any]]:
    """How the server executes the queries of the count."""
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as heard:
        assert count_feedback(heard["specialist_feedback"], TECHNICAL, WINDOW, without=without or []) == NEW
    reads = commands.reads()
    assert len(reads) == 2
    for read in reads:
        yield explained(database, read)


def test_many_specialists_are_counted_in_two_questions_that_read_only_what_is_new(
    crowded: Database[dict[str, Any]], mongod_uri: str
):
    windows = dict.fromkeys(("technical", "business", "nobody"), WINDOW)
    commands = Commands()
    with listened(mongod_uri, crowded.name, commands) as heard:
        counts = count_feedback_of(heard["specialist_feedback"], windows, without=left_out(UNSCRIPTED))
    assert counts == {"technical": NEW, "business": NEW, "nobody": 0}
    reads = commands.reads()
    assert len(reads) == 2
    for read in reads:
        explanation = explained(crowded, read)
        assert "COLLSCAN" not in stages(explanation)
        # The server's explanation says it for the whole and for its parts.
        assert max(figures(explanation, "totalDocsExamined")) <= 2 * NEW


def figures(explanation: Any, name: str) -> list[int]:
    """Every figure with that name, anywhere in the server's explanation."""
    if isinstance(explanation, list):
        return [figure for one in explanation for figure in figures(one, name)]
    if not isinstance(explanation, dict):
        return []
    own = [explanation[name]] if isinstance(explanation.get(name), int) else []
    return own + [figure for inner in explanation.values() for figure in figures(inner, name)]


def test_the_count_reads_only_the_new_part_of_the_index(crowded: Database[dict[str, Any]], mongod_uri: str):
    keys = []
    for explanation in plans(crowded, mongod_uri):
        assert "COLLSCAN" not in stages(explanation)
        assert stages(explanation) & {"IXSCAN", "COUNT_SCAN"}
        assert figures(explanation, "totalDocsExamined") == [0]
        keys += figures(explanation, "totalKeysExamined")
    assert NEW <= sum(keys) <= MOST_KEYS


def test_leaving_out_what_scripts_made_reads_only_the_new_documents(crowded: Database[dict[str, Any]], mongod_uri: str):
    documents, keys = [], []
    for explanation in plans(crowded, mongod_uri, left_out(UNSCRIPTED)):
        assert "IXSCAN" in stages(explanation)
        documents += figures(explanation, "totalDocsExamined")
        keys += figures(explanation, "totalKeysExamined")
    assert sum(documents) == NEW
    assert NEW <= sum(keys) <= MOST_KEYS


def test_without_the_index_the_count_reads_everything(crowded: Database[dict[str, Any]], mongod_uri: str):
    """The negative twin: it proves that the test above can fail."""
    crowded["specialist_feedback"].drop_indexes()
    examined = []
    for explanation in plans(crowded, mongod_uri):
        assert "COLLSCAN" in stages(explanation)
        examined += figures(explanation, "totalDocsExamined")
    assert examined == [2 * (OLD + NEW)] * 2


MARKS: list[dict[str, Any]] = [
    {},
    {"auto_generated": True},
    {"auto_generated": 1},
    {"auto_generated": "true"},
    {"auto_generated": [True]},
    {"balanced_dataset": True},
    {"balanced_dataset": False},
    {"metadata": {"auto_generated": True}},
    {"metadata": {"balanced_dataset": True, "source": "approval_service"}},
    {"metadata": {"auto_generated": [True]}},
    {"metadata": [{"auto_generated": True}]},
    {"metadata": "auto_generated"},
    {"feedback_id": "fb-auto-1"},
    {"feedback_id": "FB-AUTO-1"},
    {"feedback_id": "an fb-auto-1"},
    {"feedback_id": "fb.bal+1"},
    {"feedback_id": "fbxball1"},
    {"feedback_id": ["fb-auto-1"]},
    {"feedback_id": Code("fb-auto-1")},
    {"feedback_id": "fb-human-1", "feedback_notes": None},
    {"feedback_notes": "[AUTO] fine"},
    {"feedback_notes": "[HUMAN]"},
    {"feedback_notes": "not [AUTO]"},
    {"feedback_notes": "x\n[AUTO]"},
    {"feedback_notes": {"text": "[AUTO]"}},
    {"feedback_source": "approval_service"},
]


@pytest.mark.parametrize("time", [START, START.isoformat()], ids=["date", "string"])
@pytest.mark.parametrize("marks", MARKS, ids=str)
def test_the_server_leaves_out_exactly_what_a_dataset_would(
    database: Database[dict[str, Any]], marks: dict[str, Any], time: datetime | str
):
    feedback = database["specialist_feedback"]
    feedback.insert_one({"specialist_type": "technical", "submitted_at": time, "feedback_id": "f-1", **marks})
    (document,) = feedback.find()
    is_scripted = provenance_of(document, PREFIXES) == "scripted"
    assert count_feedback(feedback, TECHNICAL, WINDOW, without=left_out(UNSCRIPTED)) == int(not is_scripted)
    everything = Selection(0.0, PREFIXES, include_scripted=True)
    assert left_out(everything) == []


def test_feedback_below_the_lowest_rating_does_not_count(database: Database[dict[str, Any]]):
    feedback = database["specialist_feedback"]
    for number, rating in enumerate([0.1, 0.5, 0.9]):
        feedback.insert_one(
            {
                "specialist_type": "technical",
                "submitted_at": START,
                "feedback_id": f"f-{number}",
                "human_rating": rating,
            }
        )
    assert (
        count_feedback(feedback, TECHNICAL, WINDOW, without=left_out(Selection(0.5, (), include_scripted=False))) == 2
    )
