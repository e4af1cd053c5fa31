"""How the sensor on new feedback requests each run exactly once."""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from pymongo import MongoClient

from nhm_assets.settings import Settings
from resources.errors import MongoUnavailable
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.promotions import processes
from tests.support.retrainings import partition, put_dataset
from tests.support.reviews import ago, review
from tests.support.ticks import launch, volume_tick

WEEK = "2026-03-15"
"""The week of NOW, a Friday noon."""
KEY = f"technical|{WEEK}"
FIRST_WINDOW = NOW - timedelta(days=30)
"""Start of that week's window."""
HOUR_AGO = ago(NOW, hours=1)
A_SECOND = timedelta(seconds=1)


def triggers(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.database["retraining_triggers"].find(sort=[("number", 1)]))


def expire_claims(platform: Platform) -> None:
    over = datetime.now(UTC) - timedelta(minutes=1)
    changed = platform.database["retraining_triggers"].update_many(
        {"claimed_until": {"$exists": True}}, {"$set": {"claimed_until": over}}
    )
    assert changed.matched_count


def test_a_request_is_recorded(platform: Platform):
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
        "trigger_id": "feedback_volume:technical:1:20260318T120000",
        "status": "pending",
        "outcome": "requested",
        "specialist_type": "technical",
        "triggered_at": NOW,
        "feedback_count": 117,
        "feedback_window_days": 30,
        "metadata": {"mlflow_run_id": None},
    }
    request = tick.requests[KEY]
    assert request.run_key == found["_id"]
    assert request.tags["nhm/trigger"] == found["_id"]
    assert request.tags[".dagster/nhm_asked_at"] == NOW.isoformat()
    assert request.tags["nhm/actor"] == "feedback_volume_sensor"


def test_the_run_of_a_request_is_recorded(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    (run_id,) = launch(platform, volume_tick(platform), status=DagsterRunStatus.QUEUED)
    assert f"run {run_id} is in progress" in volume_tick(platform, NOW + timedelta(seconds=30)).says
    (found,) = triggers(platform)
    assert (found["outcome"], found["run_id"]) == ("launched", run_id)
    created = platform.instance.get_run_records()[0].create_timestamp
    assert abs(found["launched_at"] - created) < timedelta(milliseconds=1), "the run's time, not that of a later tick"
    assert "claimed_until" not in found


def test_while_a_claim_is_valid_nobody_requests_again(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests
    for seconds in (0, 30, 3600):
        tick = volume_tick(platform, NOW + timedelta(seconds=seconds))
        assert not tick.requests
        assert "a run was requested at 2026-03-20 12:00 and is being launched" in tick.says


def test_a_run_that_was_never_launched_is_requested_again_with_the_same_key(platform: Platform):
    """The daemon died between the sensor's evaluation and the launch."""
    review(platform.database, 100, HOUR_AGO)
    first = volume_tick(platform)
    expire_claims(platform)
    again = volume_tick(platform, NOW + timedelta(minutes=3))
    assert again.run_key == first.run_key
    assert list(again.requests) == [KEY]
    assert not volume_tick(platform, NOW + timedelta(minutes=4)).requests
    assert len(triggers(platform)) == 1


def test_a_run_that_was_created_but_never_submitted_is_requested_again(platform: Platform):
    """The daemon died between creating the run and submitting it: requested again, Dagster submits that run."""
    review(platform.database, 100, HOUR_AGO)
    first = volume_tick(platform)
    launch(platform, first, status=DagsterRunStatus.NOT_STARTED)
    assert not volume_tick(platform).requests
    expire_claims(platform)
    assert volume_tick(platform).run_key == first.run_key


def test_a_claim_of_the_week_before_expires_and_delays_nothing(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform).requests) == [KEY]
    sunday = datetime(2026, 3, 22, 0, 5, tzinfo=UTC)
    assert not volume_tick(platform, sunday).requests
    expire_claims(platform)
    assert list(volume_tick(platform, sunday).requests) == ["technical|2026-03-22"]
    assert [(one["number"], one["week"], one["outcome"]) for one in triggers(platform)] == [
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


def test_a_lost_collection_results_in_no_repeated_run_key(platform: Platform):
    """Dagster never forgets a run key: a run requested with an old one would never start."""
    put_dataset(platform.instance, partition(WEEK), ago(NOW, days=3))
    review(platform.database, 100, ago(NOW, days=2))
    first = volume_tick(platform, ago(NOW, days=2) + A_SECOND)
    launch(platform, first)
    put_dataset(platform.instance, partition(WEEK), ago(NOW, days=1))
    platform.database["retraining_triggers"].drop()
    review(platform.database, 100, HOUR_AGO)
    second = volume_tick(platform)
    assert second.run_key != first.run_key


def test_an_unreachable_mongodb_is_named_and_the_next_tick_goes_on(platform: Platform):
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
    """Body of a thread or process that evaluates the sensor at a given time."""
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
def test_one_of_several_simultaneous_evaluations_requests_the_run(
    platform: Platform, pool: Callable[[], Executor], starting_s: float
):
    for specialist in ("technical", "architecture"):
        review(platform.database, 100, HOUR_AGO, specialist)
    folder = platform.instance.root_directory
    at = time.time() + starting_s
    with pool() as executor:
        requested = [executor.submit(_evaluated, platform.settings, folder, at) for _ in range(4)]
        found = [key for one in requested for key in one.result()]
    assert sorted(found) == [f"architecture|{WEEK}", KEY]
    assert len(triggers(platform)) == 2
