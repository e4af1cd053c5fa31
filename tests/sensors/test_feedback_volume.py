"""When the sensor on new feedback asks for a run, and that it never asks twice."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from pymongo import MongoClient

from nhm_assets.runs.queries import UNDER_WAY
from nhm_assets.settings import Settings
from resources.errors import MongoUnavailable
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.promotions import processes
from tests.support.retrainings import partition, put_dataset, put_run
from tests.support.reviews import ago, review, review_at
from tests.support.ticks import launch, volume_tick

WEEK = "2026-03-15"
"""The week that NOW, a Friday noon, lies in."""
KEY = f"technical|{WEEK}"
FIRST_WINDOW = datetime(2026, 2, 20, tzinfo=UTC)
"""Start of that week's window."""
HOUR_AGO = ago(NOW, hours=1)
A_SECOND = timedelta(seconds=1)


def triggers(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.database["retraining_triggers"].find(sort=[("number", 1)]))


def let_the_lease_run_out(platform: Platform) -> None:
    over = datetime.now(UTC) - timedelta(minutes=1)
    changed = platform.database["retraining_triggers"].update_many(
        {"claimed_until": {"$exists": True}}, {"$set": {"claimed_until": over}}
    )
    assert changed.matched_count


@pytest.mark.parametrize(("count", "asked"), [(99, []), (100, [KEY]), (101, [KEY])])
def test_a_run_is_asked_for_at_the_threshold(platform: Platform, count: int, asked: list[str]):
    review(platform.database, count, HOUR_AGO)
    tick = volume_tick(platform)
    assert list(tick.requests) == asked
    assert asked or f"technical: {count} of 100 feedback documents since 2026-02-20 00:00" in tick.says


def test_the_threshold_is_a_setting(platform: Platform):
    review(platform.database, 3, HOUR_AGO)
    assert not volume_tick(platform.with_settings(retraining_feedback_threshold=4)).requests
    assert volume_tick(platform.with_settings(retraining_feedback_threshold=3)).requests


def test_a_tick_without_a_run_says_what_it_found_for_each_specialist(platform: Platform):
    review(platform.database, 7, HOUR_AGO, "behavior")
    said = volume_tick(platform).says.splitlines()
    assert [line.split(" feedback")[0] for line in said] == [
        "technical: 0 of 100",
        "business: 0 of 100",
        "behavior: 7 of 100",
        "evolution: 0 of 100",
        "architecture: 0 of 100",
    ]


def test_specialists_are_counted_apart(platform: Platform):
    review(platform.database, 100, HOUR_AGO, "business")
    review(platform.database, 99, HOUR_AGO, "technical")
    review(platform.database, 150, HOUR_AGO, "evolution")
    assert set(volume_tick(platform).requests) == {f"business|{WEEK}", f"evolution|{WEEK}"}


def test_dates_and_strings_count_alike_and_those_of_the_future_do_not(platform: Platform):
    review_at(platform.database, [HOUR_AGO] * 50 + ["2026-03-20T13:30:00+02:00"] * 49)
    review_at(platform.database, [NOW, "2026-03-20T12:00:00Z", "2026-03-20T11:30:00-01:00", "yesterday", None])
    tick = volume_tick(platform)
    assert "technical: 99 of 100" in tick.says
    review(platform.database, 1, "2026-03-20 11:00:00.250")
    assert list(volume_tick(platform).requests) == [KEY]


def test_future_feedback_counts_once_its_time_has_come(platform: Platform):
    review(platform.database, 100, NOW)
    assert not volume_tick(platform, NOW).requests
    assert volume_tick(platform, NOW + A_SECOND).requests


def test_feedback_from_the_very_end_of_the_last_window_on_is_new(platform: Platform):
    end = ago(NOW, days=1)
    put_dataset(platform.instance, partition(WEEK), end)
    review(platform.database, 500, end - timedelta(milliseconds=1))
    review(platform.database, 99, end)
    assert not volume_tick(platform).requests
    review(platform.database, 1, end)
    assert volume_tick(platform).requests


def test_the_window_of_a_real_dataset_is_found(platform: Platform):
    review(platform.database, 50, HOUR_AGO)
    result = platform.retrain(week=WEEK, only=["feedback_dataset"])
    assert result.asset_materializations_for_node("feedback_dataset")
    later = NOW + timedelta(hours=30)
    assert "0 of 100 feedback documents since 2026-03-20 12:00" in volume_tick(platform, later).says
    review(platform.database, 100, NOW)
    assert volume_tick(platform, later).requests


@pytest.mark.parametrize(
    ("now", "week"),
    [
        (datetime(2026, 3, 21, 23, 59, 59, tzinfo=UTC), "2026-03-15"),
        (datetime(2026, 3, 22, 0, 0, tzinfo=UTC), "2026-03-22"),
        (datetime(2026, 3, 22, 0, 1, tzinfo=UTC), "2026-03-22"),
    ],
)
def test_the_running_week_is_retrained(platform: Platform, now: datetime, week: str):
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform, now).requests) == [f"technical|{week}"]


def test_a_backfill_of_an_older_week_does_not_make_old_feedback_new(platform: Platform):
    put_dataset(platform.instance, partition(WEEK), ago(NOW, hours=2))
    put_dataset(platform.instance, partition("2026-03-01"), partition("2026-03-01").week_end)
    review(platform.database, 300, ago(NOW, hours=3))
    assert "technical: 0 of 100 feedback documents since 2026-03-20 10:00" in volume_tick(platform).says


def test_the_dataset_of_another_specialist_does_not_make_feedback_old(platform: Platform):
    put_dataset(platform.instance, partition(WEEK, "business"), NOW)
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform).requests) == [KEY]


@pytest.mark.parametrize("status", UNDER_WAY)
def test_a_run_that_waits_or_works_holds_the_next_one_up(platform: Platform, status: DagsterRunStatus):
    run = put_run(platform.instance, partition("2026-01-04"), status=status)
    review(platform.database, 100, HOUR_AGO)
    assert f"run {run} is in progress" in volume_tick(platform).says
    assert triggers(platform) == []


@pytest.mark.parametrize("status", [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
def test_a_run_that_has_ended_holds_nothing_up(platform: Platform, status: DagsterRunStatus):
    put_run(platform.instance, partition("2026-01-04"), status=status)
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests


def test_a_run_of_another_specialist_holds_nothing_up(platform: Platform):
    put_run(platform.instance, partition(WEEK, "business"), status=DagsterRunStatus.STARTED)
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform).requests) == [KEY]


@pytest.mark.parametrize("broken", [False, True])
def test_the_sensor_launches_at_most_once_in_the_cooldown(platform: Platform, broken: bool):  # noqa: FBT001 - a table
    """A run that broke before it had a dataset left the feedback new; it is not tried again at once either."""
    review(platform.database, 100, HOUR_AGO)
    status = DagsterRunStatus.FAILURE if broken else DagsterRunStatus.SUCCESS
    launch(platform, volume_tick(platform), status=status)
    if not broken:
        put_dataset(platform.instance, partition(WEEK), NOW)
        review(platform.database, 100, NOW + timedelta(hours=1))
    free = NOW + timedelta(hours=24)
    tick = volume_tick(platform, free - A_SECOND)
    assert not tick.requests
    assert "the last run was requested at 2026-03-20 12:00, the next is possible at 2026-03-21 12:00" in tick.says
    assert list(volume_tick(platform, free).requests) == [KEY]
    assert [one["number"] for one in triggers(platform)] == [1, 2]


def test_the_cooldown_is_a_setting_and_may_be_none(platform: Platform):
    impatient = platform.with_settings(retraining_cooldown_hours=0)
    review(platform.database, 100, HOUR_AGO)
    launch(impatient, volume_tick(impatient), status=DagsterRunStatus.FAILURE)
    assert volume_tick(impatient, NOW + timedelta(minutes=1)).requests


def test_a_run_that_somebody_else_started_starts_no_cooldown(platform: Platform):
    put_run(platform.instance, partition(WEEK))
    put_dataset(platform.instance, partition(WEEK), ago(NOW, hours=2))
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests


def test_a_launch_is_written_down(platform: Platform):
    end = ago(NOW, days=2)
    put_dataset(platform.instance, partition(WEEK), end)
    review(platform.database, 117, HOUR_AGO)
    tick = volume_tick(platform)
    (found,) = triggers(platform)
    assert found.pop("claimed_until") > datetime.now(UTC)
    assert found == {
        "_id": "feedback_volume:technical:1:20260318T120000",
        "kind": "feedback_volume",
        "number": 1,
        "specialist": "technical",
        "week": WEEK,
        "count": 117,
        "threshold": 100,
        "counted_since": end,
        "window": {"start": FIRST_WINDOW, "end": NOW},
        "requested_at": NOW,
        "status": "requested",
    }
    request = tick.requests[KEY]
    assert request.run_key == found["_id"]
    assert request.tags["nhm/trigger"] == found["_id"]
    assert request.tags["nhm/asked_at"] == NOW.isoformat()
    assert request.tags["nhm/actor"] == "feedback_volume_sensor"


def test_the_run_of_a_launch_is_noted(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    (run_id,) = launch(platform, volume_tick(platform), status=DagsterRunStatus.QUEUED)
    later = NOW + timedelta(seconds=30)
    assert f"run {run_id} is in progress" in volume_tick(platform, later).says
    (found,) = triggers(platform)
    assert (found["status"], found["run_id"], found["launched_at"]) == ("launched", run_id, later)
    assert "claimed_until" not in found


def test_while_a_claim_holds_nobody_asks_again(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests
    for seconds in (0, 30, 3600):
        tick = volume_tick(platform, NOW + timedelta(seconds=seconds))
        assert not tick.requests
        assert "a run was requested at 2026-03-20 12:00 and is being launched" in tick.says


def test_a_run_that_was_never_launched_is_asked_for_again_with_the_same_key(platform: Platform):
    """The daemon died between the sensor's evaluation and the launch."""
    review(platform.database, 100, HOUR_AGO)
    first = volume_tick(platform)
    let_the_lease_run_out(platform)
    again = volume_tick(platform, NOW + timedelta(minutes=3))
    assert again.run_key == first.run_key
    assert list(again.requests) == [KEY]
    assert not volume_tick(platform, NOW + timedelta(minutes=4)).requests
    assert len(triggers(platform)) == 1


def test_a_run_that_was_made_and_never_handed_over_is_asked_for_again(platform: Platform):
    """The daemon died between making the run and handing it over: asked for again, Dagster hands over that run."""
    review(platform.database, 100, HOUR_AGO)
    first = volume_tick(platform)
    launch(platform, first, status=DagsterRunStatus.NOT_STARTED)
    assert not volume_tick(platform).requests
    let_the_lease_run_out(platform)
    assert volume_tick(platform).run_key == first.run_key


def test_a_claim_of_the_week_before_lapses_and_holds_nothing_up(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform).requests) == [KEY]
    sunday = datetime(2026, 3, 22, 0, 5, tzinfo=UTC)
    assert not volume_tick(platform, sunday).requests
    let_the_lease_run_out(platform)
    assert list(volume_tick(platform, sunday).requests) == ["technical|2026-03-22"]
    assert [(one["number"], one["week"], one["status"]) for one in triggers(platform)] == [
        (1, "2026-03-15", "expired"),
        (2, "2026-03-22", "requested"),
    ]


@pytest.mark.parametrize("cursor", ["", "0", "2026-03-20T12:00:00+00:00", '{"technical": 5}', "\x00 of another sensor"])
def test_a_lost_or_foreign_cursor_changes_nothing(platform: Platform, cursor: str):
    review(platform.database, 100, HOUR_AGO)
    tick = volume_tick(platform, cursor=cursor)
    assert list(tick.requests) == [KEY]
    launch(platform, tick, status=DagsterRunStatus.SUCCESS)
    assert not volume_tick(platform, cursor=cursor).requests


def test_a_collection_that_was_lost_gives_no_run_key_twice(platform: Platform):
    """Dagster never forgets a run key: a run asked for under an old one would never start."""
    put_dataset(platform.instance, partition(WEEK), ago(NOW, days=3))
    review(platform.database, 100, ago(NOW, days=2))
    first = volume_tick(platform, ago(NOW, days=2) + A_SECOND)
    launch(platform, first)
    put_dataset(platform.instance, partition(WEEK), ago(NOW, days=1))
    platform.database["retraining_triggers"].drop()
    review(platform.database, 100, HOUR_AGO)
    second = volume_tick(platform)
    assert second.run_key != first.run_key


def test_mongodb_away_is_said_and_the_next_tick_goes_on(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    secret = "s3cret-word"  # noqa: S105 - of no server
    port = free_port()
    away = platform.with_settings(mongodb_uri=f"mongodb://nhm:{secret}@127.0.0.1:{port}", mongodb_timeout_s=0.5)
    with pytest.raises(MongoUnavailable, match=f"127.0.0.1:{port}/? cannot be reached") as caught:
        volume_tick(away)
    assert "MONGODB_URI" in str(caught.value)
    assert secret not in str(caught.value)
    assert list(volume_tick(platform).requests) == [KEY]


def _evaluated(settings: Settings, folder: str, at: float) -> list[str]:
    """Body of a thread or process that evaluates the sensor at a moment of the real clock."""
    with (
        MongoClient(settings.mongodb_uri.get_secret_value(), tz_aware=True) as client,
        DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance,
    ):
        there = Platform(settings, client[settings.mongodb_database], instance)
        time.sleep(max(0.0, at - time.time()))
        return list(volume_tick(there).requests)


@pytest.mark.servers
@pytest.mark.parametrize(
    ("pool", "starting_s"),
    [
        pytest.param(lambda: ThreadPoolExecutor(4), 1.0, id="threads"),
        pytest.param(lambda: ProcessPoolExecutor(2, mp_context=processes), 3.0, id="processes"),
    ],
)
def test_of_evaluations_at_the_same_moment_one_asks(
    platform: Platform, pool: Callable[[], Executor], starting_s: float
):
    for specialist in ("technical", "architecture"):
        review(platform.database, 100, HOUR_AGO, specialist)
    folder = platform.instance.root_directory
    at = time.time() + starting_s
    with pool() as executor:
        asked = [executor.submit(_evaluated, platform.settings, folder, at) for _ in range(4)]
        found = [key for one in asked for key in one.result()]
    assert sorted(found) == [f"architecture|{WEEK}", KEY]
    assert len(triggers(platform)) == 2
