"""Which feedback of a real MongoDB becomes a row of the window, and which is quarantined."""

from datetime import UTC, datetime

import pandas as pd
import pytest
from bson import Code, DBRef, ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo.database import Database

from nhm_assets.domain.partitions import Window
from nhm_assets.feedback.dataset_builder import read_window
from nhm_assets.feedback.quarantine import reason_counts
from nhm_assets.feedback.reader import Reader
from tests.support.documents import (
    WEEK_END,
    WINDOW_START,
    feedback,
    opinion,
    put,
)
from tests.support.windows import ALL, NAMES, SECOND, read, rejected, reviewed, rows


def test_the_window_includes_its_start_but_not_its_end(database: Database):
    reviewed(database, WINDOW_START - SECOND, WINDOW_START, WEEK_END - SECOND, WEEK_END)
    assert rows(database) == ["feedback-1", "feedback-2"]
    assert rejected(database) == {}


def test_strings_count_like_dates(database: Database):
    reviewed(
        database,
        "2026-02-05T23:59:59Z",
        "2026-02-06T00:00:00Z",
        "2026-03-07 23:59:59.999",
        "2026-03-08T00:00:00",
        "2026-03-01",
        "  2026-03-02T00:00:00Z ",
        "20260303T000000Z",
        "2026-W10-3",
    )
    assert rows(database) == ["feedback-1", "feedback-4", "feedback-5", "feedback-6", "feedback-7", "feedback-2"]
    assert rejected(database) == {}


def test_an_offset_decides_at_the_edges_of_the_window(database: Database):
    reviewed(
        database,
        "2026-02-05T22:00:00-03:00",
        "2026-02-06T02:00:00+03:00",
        "2026-03-07T22:00:00-03:00",
        "2026-03-08T02:00:00+03:00",
    )
    assert rows(database) == ["feedback-0", "feedback-3"]
    assert read(database).rows["submitted_at"].tolist() == [
        pd.Timestamp("2026-02-06T01:00:00Z"),
        pd.Timestamp("2026-03-07T23:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        (
            Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 11, tzinfo=UTC)),
            "2025-12-31T22:00:00-05:00",
            "2026-01-01T03:00:00+05:00",
        ),
        (
            Window(datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
            "2027-01-01T01:00:00+02:00",
            "2026-12-31T22:00:00-02:00",
        ),
    ],
    ids=["begins with a year", "ends with a year"],
)
def test_an_offset_decides_at_the_turn_of_a_year(database: Database, window: Window, inside: str, outside: str):
    """A string may begin with another year than that of its time in UTC."""
    reviewed(database, inside, outside)
    result = read_window(Reader(database, NAMES, "technical", None), window, ALL)
    assert result.rows["feedback_id"].tolist() == ["feedback-0"]


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday",
        "",
        "2026-02-30T12:00:00Z",
        "2026-03-01T25:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-02-30T12:00:00Z",
        "1999-01-01T00:00:00Zulu",
        "01/03/2026",
        1772366400000,
        1772366400.0,
        True,
        {"date": "2026-03-01"},
        ["2026-03-01"],
        ["1999-01-01"],
        [datetime(1999, 1, 1, tzinfo=UTC)],
        [None],
        [],
        [[]],
        [["2026-03-01"]],
        [[[datetime(1999, 1, 1, tzinfo=UTC)]]],
        ObjectId(),
        Code("2026-03-01"),
        Code("2026-03-01", {"x": 1}),
        DBRef("times", 1),
        "0000-01-01",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
    ],
)
def test_a_time_that_cannot_be_parsed_is_quarantined(database: Database, moment: object):
    """Whatever year it seems to name: without a time it is in no other window either."""
    reviewed(database, moment, WEEK_END - SECOND)
    assert rejected(database) == {"feedback-0": "invalid_submitted_at"}
    assert rows(database) == ["feedback-1"]


def test_undated_feedback_is_counted_over_all_time_and_not_quarantined(database: Database):
    undated = [feedback(number, submitted_at=None) for number in (1, 2)]
    del undated[1]["submitted_at"]
    foreign = feedback(3, specialist="business", submitted_at=None)
    put(database, feedback=[*undated, foreign, feedback(4)], opinions=[opinion(4)])
    result = read(database)
    assert result.undated == 2
    assert result.quarantine == []
    assert len(result.rows) == 1


def test_dates_far_outside_what_python_can_hold_do_no_harm(database: Database):
    reviewed(database, DatetimeMS(2**55), DatetimeMS(-(2**55)), WEEK_END - SECOND)
    assert rows(database) == ["feedback-2"]


def test_the_feedback_of_another_specialist_is_not_read(database: Database):
    put(
        database,
        opinions=[opinion(1), opinion(2, specialist="business")],
        feedback=[feedback(1), feedback(2, specialist="business")],
    )
    assert rows(database) == ["feedback-1"]
    assert rows(database, specialist="business") == ["feedback-2"]


def test_an_opinion_of_another_specialist_is_unknown(database: Database):
    put(database, opinions=[opinion(1, specialist="business")], feedback=[feedback(1)])
    assert rejected(database) == {"feedback-1": "unknown_opinion"}


@pytest.mark.parametrize("opinion_id", ["opinion-2", "Opinion-1", "", None, 1])
def test_feedback_on_no_opinion_is_quarantined(database: Database, opinion_id: object):
    put(database, opinions=[opinion(1)], feedback=[feedback(1, opinion_id=opinion_id)])
    assert rejected(database) == {"feedback-1": "unknown_opinion"}


def test_an_opinion_whose_id_is_a_list_is_unknown(database: Database):
    """MongoDB finds such a document by each id in the list."""
    put(
        database,
        opinions=[opinion(1, opinion_id=["opinion-1"]), opinion(2)],
        feedback=[feedback(1), feedback(2)],
    )
    assert rejected(database) == {"feedback-1": "unknown_opinion"}
    assert rows(database) == ["feedback-2"]


def test_the_newest_feedback_on_an_opinion_labels_its_row(database: Database):
    put(
        database,
        opinions=[opinion(1)],
        feedback=[
            feedback(1, feedback_id="older", human_recommendation="approve", submitted_at="2026-03-01T12:00:00Z"),
            feedback(1, feedback_id="newer", human_recommendation="reject", submitted_at="2026-03-01T10:00:00-03:00"),
            feedback(1, feedback_id="after the window", submitted_at=WEEK_END),
            feedback(1, feedback_id="faulty", human_rating=7, submitted_at=WEEK_END - SECOND),
        ],
    )
    result = read(database)
    assert result.rows[["feedback_id", "label"]].to_numpy().tolist() == [["newer", 0]]
    assert rejected(database) == {"faulty": "invalid_rating"}


def test_feedback_below_the_minimum_rating_is_left_out_but_not_rejected(database: Database):
    put(
        database,
        opinions=[opinion(1), opinion(2)],
        feedback=[
            feedback(1, feedback_id="good", human_rating=0.9),
            feedback(1, feedback_id="poor but newer", human_rating=0.2, submitted_at=WEEK_END - SECOND),
            feedback(2, human_rating=0.2),
        ],
    )
    assert rows(database, min_rating=0.5) == ["good"]
    assert rejected(database, min_rating=0.5) == {}
    assert rows(database) == ["feedback-2", "poor but newer"]


def test_equal_feedback_twice_is_one_row_or_one_rejection(database: Database):
    put(database, opinions=[opinion(1)], feedback=[feedback(1), feedback(1), feedback(2), feedback(2)])
    result = read(database)
    assert len(result.rows) == 1
    assert reason_counts(result.quarantine) == {"unknown_opinion": 1}


def test_rejected_documents_are_kept_with_all_fields(database: Database):
    put(database, feedback=[feedback(1, feedback_notes="please keep me", metadata={"ticket": 7})])
    (entry,) = read(database).quarantine
    assert entry["document"] == database.specialist_feedback.find_one()
