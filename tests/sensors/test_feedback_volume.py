"""When the sensor on new feedback requests a run: enough feedback, no run in progress, no cooldown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterRunStatus

from nhm_assets.domain.dagster_names import INCREMENT_CONFIG
from nhm_assets.domain.outcomes import OUTCOME_TAG
from nhm_assets.runs.queries import IN_PROGRESS
from tests.support.documents import NOW, put, reviewed_opinions
from tests.support.instigators import put_schedule
from tests.support.platform import Platform
from tests.support.retrainings import partition, put_dataset, put_run
from tests.support.reviews import ago, review, review_at
from tests.support.ticks import launch, volume_tick

WEEK = "2026-03-15"
"""The week of NOW, a Friday noon."""
KEY = f"technical|{WEEK}"
HOUR_AGO = ago(NOW, hours=1)
A_SECOND = timedelta(seconds=1)
SETTLED = {OUTCOME_TAG: "held"}


def triggers(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.database["retraining_triggers"].find(sort=[("number", 1)]))


@pytest.mark.parametrize(("count", "requested"), [(99, []), (100, [KEY]), (101, [KEY])])
def test_a_run_is_requested_at_the_threshold(platform: Platform, count: int, requested: list[str]):
    review(platform.database, count, HOUR_AGO)
    tick = volume_tick(platform)
    assert list(tick.requests) == requested
    assert requested or f"technical: {count} of 100 feedback documents since 2026-02-18 12:00" in tick.says


def test_feedback_that_scripts_made_counts_only_if_it_is_learned(platform: Platform):
    """The runs that it once started ended as `unchanged` or `insufficient_data`."""
    review(platform.database, 60, HOUR_AGO)
    platform.database["specialist_feedback"].update_many({}, {"$set": {"metadata.auto_generated": True}})
    review(platform.database, 40, HOUR_AGO)
    assert "technical: 40 of 100 feedback documents" in volume_tick(platform).says
    assert list(volume_tick(platform.with_settings(include_scripted_feedback=True)).requests) == [KEY]


def test_the_threshold_is_a_setting(platform: Platform):
    review(platform.database, 3, HOUR_AGO)
    assert not volume_tick(platform.with_settings(retraining_feedback_threshold=4)).requests
    assert volume_tick(platform.with_settings(retraining_feedback_threshold=3)).requests


def test_increments_have_a_threshold_of_their_own_and_their_runs_say_what_they_are(platform: Platform):
    often = platform.with_settings(increment=True)
    put_run(platform.instance, partition("2026-03-08"), tags=SETTLED)
    review(platform.database, 19, HOUR_AGO)
    assert "technical: 19 of 20 feedback documents" in volume_tick(often).says
    review(platform.database, 1, HOUR_AGO)
    assert "technical: 20 of 100" in volume_tick(platform).says
    tick = volume_tick(often)
    assert list(tick.requests) == [KEY]
    assert tick.requests[KEY].run_config == INCREMENT_CONFIG
    assert triggers(platform)[0]["increment"] is True
    platform.database["retraining_triggers"].update_one({}, {"$set": {"claimed_until": ago(NOW, days=1)}})
    assert volume_tick(often).requests[KEY].run_config == INCREMENT_CONFIG, "a request that was lost is made again"


@pytest.mark.parametrize(
    ("closed_week", "requested"),
    [
        (None, False),
        ({"status": DagsterRunStatus.FAILURE, "tags": {"nhm/trigger": f"weekly:{KEY}"}}, False),
        ({"tags": SETTLED, "only": ["feedback_dataset", "trained_model"]}, False),
        ({"tags": SETTLED | {".dagster/nhm_asked_at": "2026-03-21T23:59:59+00:00"}}, False),
        ({"tags": SETTLED}, True),
        ({"tags": {OUTCOME_TAG: "insufficient_data"}}, True),
    ],
    ids=["was down on Sunday", "the weekly run broke", "a part", "before the week closed", "held", "too few rows"],
)
def test_no_increment_takes_the_place_of_the_full_training_of_the_closed_week(
    platform: Platform,
    closed_week: dict[str, Any] | None,
    requested: bool,  # noqa: FBT001 - a table
):
    """Its window would be the newer one, so that training would be superseded, however late it comes."""
    often = platform.with_settings(increment=True)
    review(platform.database, 100, HOUR_AGO)
    if closed_week:
        put_run(platform.instance, partition(WEEK), **closed_week)
    for day, hour in ((22, 0), (22, 4), (23, 9)):
        tick = volume_tick(often, datetime(2026, 3, day, hour, tzinfo=UTC))
        platform.database["retraining_triggers"].delete_many({})
        assert list(tick.requests) == (["technical|2026-03-22"] if requested else [])
        assert requested or (
            f"no increment before the full retraining of week {WEEK}, which it would supersede. If"
            f" weekly_retraining_schedule does not start it: nhm retrain --specialist technical --week {WEEK}"
            in tick.says
        )


def test_increments_wait_for_no_weekly_schedule_that_is_switched_off(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    often = platform.with_settings(increment=True)
    put_schedule(platform.instance, "weekly_retraining_schedule", "0 2 * * 0")
    assert not volume_tick(often).requests
    platform.instance.schedule_storage.wipe()
    put_schedule(platform.instance, "weekly_retraining_schedule", "0 2 * * 0", running=False)
    try:
        assert volume_tick(often).requests
    finally:
        platform.instance.schedule_storage.wipe()


def test_increments_wait_for_no_training_of_a_week_before_the_first_one(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform.with_settings(increment=True, first_week=WEEK)).requests) == [KEY]


def test_without_increments_runs_train_in_full(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests[KEY].run_config == {}


def test_a_tick_without_a_run_names_the_count_of_each_specialist(platform: Platform):
    review(platform.database, 7, HOUR_AGO, "behavior")
    lines = volume_tick(platform).says.split(" · ")
    assert [line.split(" feedback")[0] for line in lines] == [
        "technical: 0 of 100",
        "business: 0 of 100",
        "behavior: 7 of 100",
        "evolution: 0 of 100",
        "architecture: 0 of 100",
    ]


def test_specialists_are_counted_separately(platform: Platform):
    review(platform.database, 100, HOUR_AGO, "business")
    review(platform.database, 99, HOUR_AGO, "technical")
    review(platform.database, 150, HOUR_AGO, "evolution")
    assert set(volume_tick(platform).requests) == {f"business|{WEEK}", f"evolution|{WEEK}"}


def test_dates_and_strings_count_alike_and_future_ones_do_not_count(platform: Platform):
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


def test_feedback_from_the_end_of_the_last_window_on_is_new(platform: Platform):
    end = ago(NOW, days=1)
    put_dataset(platform.instance, partition(WEEK), end)
    review(platform.database, 500, end - timedelta(milliseconds=1))
    review(platform.database, 99, end)
    assert not volume_tick(platform).requests
    review(platform.database, 1, end)
    assert volume_tick(platform).requests


def test_the_window_of_a_real_dataset_is_found(platform: Platform):
    opinions, reviews = reviewed_opinions(400, end=NOW, days=20)
    put(platform.database, opinions=opinions, feedback=reviews)
    result = platform.retrain(week=WEEK, only=["feedback_dataset"])
    assert result.asset_materializations_for_node("feedback_dataset")
    platform.instance.add_run_tags(result.run_id, {OUTCOME_TAG: "held"})
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


@pytest.mark.parametrize("status", IN_PROGRESS)
def test_a_run_in_progress_delays_the_next_one(platform: Platform, status: DagsterRunStatus):
    run = put_run(platform.instance, partition("2026-01-04"), status=status)
    review(platform.database, 100, HOUR_AGO)
    assert f"run {run} is in progress" in volume_tick(platform).says
    assert triggers(platform) == []


@pytest.mark.parametrize("status", [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
def test_a_run_that_has_ended_delays_nothing(platform: Platform, status: DagsterRunStatus):
    put_run(platform.instance, partition("2026-01-04"), status=status)
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests


def test_a_run_of_another_specialist_delays_nothing(platform: Platform):
    put_run(platform.instance, partition(WEEK, "business"), status=DagsterRunStatus.STARTED)
    review(platform.database, 100, HOUR_AGO)
    assert list(volume_tick(platform).requests) == [KEY]


@pytest.mark.parametrize("broken", [False, True])
def test_the_sensor_requests_at_most_one_run_per_cooldown(platform: Platform, broken: bool):  # noqa: FBT001 - a table
    """A run that broke before it made a dataset leaves the feedback new, and is not repeated at once either."""
    platform = platform.with_settings(retraining_cooldown_hours=24)
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


def test_a_run_that_a_person_started_starts_no_cooldown(platform: Platform):
    put_run(platform.instance, partition(WEEK))
    put_dataset(platform.instance, partition(WEEK), ago(NOW, hours=2))
    review(platform.database, 100, HOUR_AGO)
    assert volume_tick(platform).requests
