"""Counting new feedback: what counts as a time, and that the cost depends only on what is new."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.specialists import Specialist
from nhm_assets.feedback.times import count_feedback
from tests.support.commands import Commands, explained, listened, stages
from tests.support.reviews import review, review_at, spread

START = datetime(2026, 3, 18, 10, tzinfo=UTC)
END = datetime(2026, 3, 20, 12, tzinfo=UTC)
WINDOW = Window(START, END)
TECHNICAL = Specialist("technical")
A_MOMENT = timedelta(milliseconds=1)


def counted(database: Database[dict[str, Any]]) -> int:
    return count_feedback(database["specialist_feedback"], TECHNICAL, WINDOW)


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


def test_a_window_that_ends_before_it_begins_holds_nothing(database: Database[dict[str, Any]]):
    """This happens when the clock is set back to replay a day."""
    review_at(database, [START, "2026-03-19T00:00:00Z"])
    assert count_feedback(database["specialist_feedback"], TECHNICAL, Window(END, START)) == 0


NEW = 40
OLD = 2000


@pytest.fixture(params=["dates", "strings"])
def crowded(request: pytest.FixtureRequest, database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """Many old documents and few new ones, of two specialists, with times as dates or as strings."""
    old = spread(OLD, START - timedelta(days=300), START - timedelta(days=3))
    for specialist in ("technical", "business"):
        times = old + spread(NEW, START, END)
        spelled = times if request.param == "dates" else [time.isoformat() for time in times]
        review_at(database, spelled, specialist)
    return database


def plans(database: Database[dict[str, Any]], mongod_uri: str) -> Iterator[dict[str, Any]]:
    """How the server executes the queries of the count."""
    commands = Commands()
    with listened(mongod_uri, database.name, commands) as heard:
        assert counted(heard) == NEW
    reads = commands.reads()
    assert len(reads) == 2
    for read in reads:
        yield explained(database, read)


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
    assert NEW <= sum(keys) <= NEW + 5


def test_without_the_index_the_count_reads_everything(crowded: Database[dict[str, Any]], mongod_uri: str):
    """The negative twin: it proves that the test above can fail."""
    crowded["specialist_feedback"].drop_indexes()
    examined = []
    for explanation in plans(crowded, mongod_uri):
        assert "COLLSCAN" in stages(explanation)
        examined += figures(explanation, "totalDocsExamined")
    assert examined == [2 * (OLD + NEW)] * 2
