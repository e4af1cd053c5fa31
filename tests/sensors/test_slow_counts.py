"""Counting the feedback of one specialist takes too long, or MongoDB goes away in the middle of a tick."""

from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from nhm_assets.domain.specialists import FIVE
from resources.errors import MongoUnavailable
from sensors import feedback_volume, requests
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.reviews import ago, review
from tests.support.ticks import volume_tick

HOUR_AGO = ago(NOW, hours=1)
WEEK = "2026-03-15"
SLOW = "function (id) { sleep(100); return true; }"


def make_slow(platform: Platform, specialist: str) -> Platform:
    """The platform with a view of the feedback that takes 0.1 s for each document of a specialist."""
    waits = {"$function": {"body": SLOW, "args": ["$_id"], "lang": "js"}}
    others = {"$ne": ["$specialist_type", specialist]}
    platform.database.create_collection(
        "slow_feedback",
        viewOn="specialist_feedback",
        pipeline=[{"$match": {"$expr": {"$cond": [others, True, waits]}}}],
    )
    return platform.with_settings(feedback_collection="slow_feedback")


@pytest.mark.servers
@pytest.mark.parametrize("slow", ["technical", "business", "architecture"])
def test_a_slow_count_of_one_specialist_does_not_fail_the_tick_for_the_others(platform: Platform, slow: str):
    review(platform.database, 100, HOUR_AGO, "evolution")
    review(platform.database, 100, HOUR_AGO, slow)
    tick = volume_tick(make_slow(platform, slow))
    assert list(tick.requests) == [f"evolution|{WEEK}"]
    (trigger,) = platform.database["retraining_triggers"].find()
    assert trigger["specialist"] == "evolution"


@pytest.mark.servers
def test_a_tick_without_a_run_says_whose_count_was_slow(platform: Platform):
    review(platform.database, 100, HOUR_AGO, "business")
    lines = volume_tick(make_slow(platform, "business")).says.split(" · ")
    assert lines[1].startswith("business: MongoDB is too slow to count its feedback.")
    assert lines[2].startswith("behavior: 0 of 100")


def test_if_every_count_is_slow_the_tick_still_ends_in_time(platform: Platform, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feedback_volume, "_SLOW_COUNTS_S", 0.0)
    review(platform.database, 100, HOUR_AGO, "business")
    lines = volume_tick(make_slow(platform, "business")).says.split(" · ")
    assert len(lines) == len(FIVE)
    assert all(": MongoDB is too slow to count its feedback." in line for line in lines)


def lose_mongodb_at(specialist: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = requests.claim

    def claim_until_lost(triggers: Any, trigger: str, fields: Any, **options: Any) -> Any:
        if fields["specialist"] == specialist:
            raise AutoReconnect("connection closed")
        return claim(triggers, trigger, fields, **options)

    monkeypatch.setattr(requests, "claim", claim_until_lost)


def test_a_run_that_was_claimed_before_mongodb_went_away_is_launched(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise the claim would keep everybody from requesting it for two minutes."""
    review(platform.database, 100, HOUR_AGO, "technical")
    review(platform.database, 100, HOUR_AGO, "behavior")
    lose_mongodb_at("behavior", monkeypatch)
    assert list(volume_tick(platform).requests) == [f"technical|{WEEK}"]


def test_a_tick_that_claimed_nothing_fails_with_mongodbs_address(platform: Platform, monkeypatch: pytest.MonkeyPatch):
    review(platform.database, 100, HOUR_AGO, "behavior")
    lose_mongodb_at("behavior", monkeypatch)
    with pytest.raises(MongoUnavailable, match="cannot be reached"):
        volume_tick(platform)
