"""Which feedback counts: first each document alone, then one per opinion."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import NoneType

import pytest
from bson import Int64
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128

from nhm_assets.domain.partitions import Window
from nhm_assets.feedback.rules import (
    Feedback,
    Reason,
    Rejection,
    judge,
    parse_rating,
    parse_recommendation,
    parse_time,
)
from tests.support.documents import WEEK_END, WINDOW_START, feedback

WINDOW = Window(WINDOW_START, WEEK_END)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSIDE = WEEK_END - timedelta(days=10)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOON, NOON),
        (NOON.astimezone(timezone(timedelta(hours=-5))), NOON),
        ("2026-03-01T12:00:00", NOON),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01 12:00", NOON),
        ("  2026-03-01T12:00:00+00:00\n", NOON),
        ("2026-03-01T09:00:00-03:00", NOON),
        ("2026-03-01T17:30:00+05:30", NOON),
        ("20260301T120000Z", NOON),
        ("2026-03-01", NOON - timedelta(hours=12)),
        ("2026-03-01T12:00:00.250Z", NOON + timedelta(milliseconds=250)),
    ],
)
def test_dates_and_iso_strings_are_times_in_utc(value: object, expected: datetime):
    parsed = parse_time(value)
    assert parsed == expected
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "yesterday",
        "12:00",
        "2026-02-30",
        "2026-13-01T00:00:00Z",
        "2026-03-01T25:00:00Z",
        "01/03/2026",
        "1772366400",
        "0001-01-01T00:00:00+10:00",
        1772366400,
        1772366400.5,
        True,
        DatetimeMS(2**60),
        {"$date": "2026-03-01"},
        [NOON],
    ],
)
def test_anything_else_is_no_time(value: object):
    assert parse_time(value) is None


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
def test_a_date_without_an_offset_means_utc_wherever_the_process_runs():
    """By default, MongoDB clients return BSON dates without an offset."""
    assert parse_time(NOON.replace(tzinfo=None)) == NOON


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0.0), (1, 1.0), (0.35, 0.35), (Int64(1), 1.0), (Decimal128("0.25"), 0.25), (-0.0, 0.0)],
)
def test_numbers_from_0_to_1_are_ratings(value: object, expected: float):
    assert parse_rating(value) == expected
    assert type(parse_rating(value)) is float


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "0.5",
        "",
        1.0001,
        -0.0001,
        5,
        math.nan,
        math.inf,
        Decimal128("1.5"),
        Decimal128("NaN"),
        Decimal128("sNaN"),
        Decimal128("-Infinity"),
        [0.5],
        {"value": 0.5},
    ],
)
def test_anything_else_is_no_rating(value: object):
    assert parse_rating(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("reject", 0),
        ("approve", 1),
        ("review_required", 2),
        ("  Approve\n", 1),
        ("REVIEW_REQUIRED", 2),
        ("conditional", None),
        ("review required", None),
        ("approved", None),
        ("", None),
        (None, None),
        (1, None),
        (["approve"], None),
    ],
)
def test_a_recommendation_is_one_of_three_ignoring_blanks_and_case(value: object, expected: int | None):
    assert parse_recommendation(value) == expected


def test_good_feedback_is_accepted_with_its_fields():
    document = feedback(1, _id="x", human_rating=0.4, human_recommendation=" Reject", submitted_at=INSIDE)
    assert judge(document, WINDOW) == Feedback(INSIDE, "feedback-1", 0, 0.4, "opinion-1", "plan-1", "x")


FAULTS = {
    Reason.UNREADABLE_DOCUMENT: {"opinion_id": "opinion-\udcff"},
    Reason.MISSING_FEEDBACK_ID: {"feedback_id": None},
    Reason.INVALID_SUBMITTED_AT: {"submitted_at": "soon"},
    Reason.INVALID_RATING: {"human_rating": "0.9"},
    Reason.UNKNOWN_RECOMMENDATION: {"human_recommendation": "conditional"},
    Reason.UNKNOWN_OPINION: {"opinion_id": None},
}
"""One fault per reason that can be found in the document alone, in the order of the reasons."""


@pytest.mark.parametrize("reason", FAULTS)
def test_a_fault_is_rejected_with_its_reason(reason: Reason):
    fields = FAULTS[reason]
    assert judge(feedback(_id="x", **fields), WINDOW) == Rejection("x", reason, "submitted_at" not in fields)


@pytest.mark.parametrize("position", range(len(FAULTS)))
def test_of_several_faults_the_first_in_order_is_the_reason(position: int):
    faults = list(FAULTS.items())[position:]
    fields = {name: value for _, fault in reversed(faults) for name, value in fault.items()}
    assert judge(feedback(_id="x", **fields), WINDOW) == Rejection("x", faults[0][0], "submitted_at" not in fields)


def test_reasons_are_in_the_order_of_the_contract():
    assert [str(reason) for reason in Reason] == [
        "unreadable_document",
        "missing_feedback_id",
        "invalid_submitted_at",
        "invalid_rating",
        "unknown_recommendation",
        "unknown_opinion",
        "missing_plan",
        "invalid_plan",
    ]


@pytest.mark.parametrize("feedback_id", [None, "", 17, ["feedback-1"]])
def test_feedback_without_an_id_is_rejected(feedback_id: object):
    assert judge(feedback(_id="x", feedback_id=feedback_id), WINDOW).reason == Reason.MISSING_FEEDBACK_ID


@pytest.mark.parametrize("field", ["feedback_id", "human_rating", "human_recommendation", "opinion_id"])
def test_a_missing_field_is_judged_like_a_null(field: str):
    document = feedback(_id="x")
    del document[field]
    assert judge(document, WINDOW) == judge(feedback(_id="x", **{field: None}), WINDOW)
    assert isinstance(judge(document, WINDOW), Rejection)


def test_a_plan_id_is_not_needed_to_be_accepted():
    assert judge(feedback(_id="x", plan_id=17), WINDOW).plan_id is None


@pytest.mark.parametrize(
    ("moment", "verdict"),
    [
        (WINDOW.start, Feedback),
        (WINDOW.start - timedelta(microseconds=1), NoneType),
        (WINDOW.end - timedelta(microseconds=1), Feedback),
        (WINDOW.end, NoneType),
        (WINDOW.start.isoformat(), Feedback),
        (WINDOW.end.isoformat(), NoneType),
        ("2026-03-08T01:00:00+02:00", Feedback),
        ("2026-03-07T22:30:00-03:00", NoneType),
    ],
)
def test_the_window_is_half_open_for_dates_and_strings_alike(moment: object, verdict: type):
    assert type(judge(feedback(_id="x", submitted_at=moment), WINDOW)) is verdict


def test_faulty_feedback_outside_the_window_is_not_rejected():
    outside = feedback(_id="x", feedback_id=None, submitted_at=WINDOW.end)
    assert judge(outside, WINDOW) is None
