"""What a run sees of the collections: it costs little, whatever is in them and however many specialists there are."""

from datetime import UTC, datetime
from typing import Any

import pytest

from nhm_assets.feedback.seen import Seen, look_at
from nhm_assets.settings import Settings
from tests.support.documents import feedback, put

MANY = [f"s{number}" for number in range(51)]


def of_feedback(database: Any, specialists: list[str], own: str) -> Seen:
    return look_at(database, Settings(), specialists, own=own)[0]


def test_with_many_specialists_only_the_retrained_one_is_looked_up(database):
    put(database, feedback=[feedback(name, specialist=name) for name in ("s1", "s2")])
    assert set(of_feedback(database, MANY[:50], "s1").newest) == {"s1", "s2"}
    assert set(of_feedback(database, MANY, "s1").newest) == {"s1"}


@pytest.mark.parametrize(
    ("times", "newest"),
    [
        (["2026-03-01T00:00:00Z", datetime(2026, 2, 1, tzinfo=UTC)], datetime(2026, 3, 1, tzinfo=UTC)),
        (["soon", datetime(2026, 2, 1, tzinfo=UTC)], datetime(2026, 2, 1, tzinfo=UTC)),
        ([None, 5], None),
    ],
    ids=["a string is newer", "a string that is no time", "no times"],
)
def test_the_newest_of_dates_and_strings_counts(database, times: list[Any], newest: datetime | None):
    put(database, feedback=[feedback(number, submitted_at=one) for number, one in enumerate(times)])
    assert of_feedback(database, ["technical"], "technical").newest.get("technical") == newest


def test_views_and_collections_that_do_not_exist_are_seen_too(database):
    put(database, feedback=[feedback(1)])
    database.create_collection("shown", viewOn="specialist_feedback", pipeline=[])
    settings = Settings(feedback_collection="shown", plans_collection="nowhere")
    seen = look_at(database, settings, ["technical"], own="technical")
    assert [
        (one.collection, one.documents) for one in seen if one.asset in ("specialist_feedback", "cognitive_plans")
    ] == [
        ("shown", 1),
        ("nowhere", 0),
    ]
    assert seen[0].missing_indexes == [], "a view uses the indexes of the collection behind it"
