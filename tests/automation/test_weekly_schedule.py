"""Which runs the weekly schedule requests, and which it leaves out."""

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterRunStatus, DefaultScheduleStatus, RunRequest

from nhm_assets.definitions import defs
from nhm_assets.domain.outcomes import OUTCOME_TAG, UNDECIDED, Outcome
from nhm_assets.domain.specialists import FIVE
from nhm_assets.runs.queries import IN_PROGRESS
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.retrainings import MODELS_LOADED, partition, put_run
from tests.support.ticks import Tick, launch, weekly_tick
from tests.support.wiped import session_platform, wiped

__all__ = ["session_platform", "wiped"]

SUNDAY = datetime(2026, 11, 22, 2, tzinfo=UTC)
WEEK = "2026-11-15"
"""It closed two hours before."""
ALL = {f"{specialist}|{WEEK}" for specialist in FIVE}
TECHNICAL = f"technical|{WEEK}"
WHOLE_WEEK = {".dagster/nhm_asked_at": SUNDAY.isoformat()}


def without_mongodb(platform: Platform) -> Platform:
    return platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{free_port()}", mongodb_timeout_s=0.3)


def claim_by_another(platform: Platform, *, lease: timedelta) -> None:
    """Another daemon has claimed all five runs and has not launched them yet."""
    platform.database["retraining_triggers"].insert_many(
        {"_id": f"weekly:{key}", "status": "requested", "claimed_until": datetime.now(UTC) + lease} for key in ALL
    )


def test_it_runs_from_the_start_on_sundays_at_two():
    schedule = defs.resolve_schedule_def("weekly_retraining_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * 0", "UTC")
    assert schedule.default_status is DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "specialist_retraining"


def test_one_run_per_specialist_is_requested_for_the_week_that_closed_two_hours_earlier(wiped: Platform):
    tick = weekly_tick(wiped, SUNDAY)
    assert set(tick.requests) == ALL
    request = tick.requests[TECHNICAL]
    assert request.run_key == f"weekly:{TECHNICAL}"
    assert request.tags["nhm/trigger"] == f"weekly:{TECHNICAL}"
    assert request.tags["nhm/actor"] == "weekly_retraining_schedule"
    assert request.tags[".dagster/nhm_asked_at"] == SUNDAY.isoformat()


def test_requests_are_recorded(wiped: Platform):
    weekly_tick(wiped, SUNDAY)
    found = {one["_id"]: one for one in wiped.database["retraining_triggers"].find()}
    assert set(found) == {f"weekly:{key}" for key in ALL}
    one = found[f"weekly:{TECHNICAL}"]
    assert one.pop("claimed_until") > datetime.now(UTC)
    assert one == {
        "_id": f"weekly:{TECHNICAL}",
        "kind": "weekly",
        "number": 0,
        "specialist": "technical",
        "week": WEEK,
        "requested_at": SUNDAY,
        "trigger_id": f"weekly:{TECHNICAL}",
        "status": "pending",
        "outcome": "requested",
        "specialist_type": "technical",
        "triggered_at": SUNDAY,
        "feedback_count": 0,
        "feedback_window_days": 30,
        "metadata": {"mlflow_run_id": None},
    }


def test_a_tick_evaluated_twice_launches_once(wiped: Platform):
    launch(wiped, weekly_tick(wiped, SUNDAY), status=DagsterRunStatus.QUEUED)
    again = weekly_tick(wiped, SUNDAY)
    assert not again.requests
    assert again.says.count("has retrained it or will do so") == 5


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        *((status, {}) for status in IN_PROGRESS),
        *((DagsterRunStatus.SUCCESS, {OUTCOME_TAG: str(one)}) for one in Outcome if one not in UNDECIDED),
        (DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"}),
        (DagsterRunStatus.FAILURE, {"nhm/trigger": f"weekly:{TECHNICAL}"}),
        (DagsterRunStatus.FAILURE, {OUTCOME_TAG: "broken", "nhm/transient": "true"}),
    ],
)
def test_a_specialist_with_an_outcome_for_the_week_or_a_run_in_progress_is_left_out(
    wiped: Platform, status: DagsterRunStatus, tags: Mapping[str, str]
):
    put_run(wiped.instance, partition(WEEK), status=status, tags=WHOLE_WEEK | dict(tags))
    assert set(weekly_tick(wiped, SUNDAY).requests) == ALL - {TECHNICAL}


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (DagsterRunStatus.SUCCESS, {}),
        (DagsterRunStatus.SUCCESS, {OUTCOME_TAG: "broken"}),
        (DagsterRunStatus.FAILURE, {}),
        (DagsterRunStatus.FAILURE, {OUTCOME_TAG: "broken"}),
        (DagsterRunStatus.FAILURE, {OUTCOME_TAG: "promoted"}),
        (DagsterRunStatus.FAILURE, {OUTCOME_TAG: "refused"}),
        (DagsterRunStatus.CANCELED, {}),
    ],
)
def test_a_run_that_decided_nothing_broke_or_was_refused_settles_no_week(
    wiped: Platform, status: DagsterRunStatus, tags: Mapping[str, str]
):
    put_run(wiped.instance, partition(WEEK), status=status, tags=WHOLE_WEEK | dict(tags))
    assert set(weekly_tick(wiped, SUNDAY).requests) == ALL


@pytest.mark.parametrize(
    ("only", "status", "left_out"),
    [
        (["feedback_dataset"], DagsterRunStatus.SUCCESS, False),
        (["feedback_dataset"], DagsterRunStatus.FAILURE, False),
        (["feedback_dataset", "trained_model", "evaluation_report"], DagsterRunStatus.STARTED, False),
        (["evaluation_report", "promoted_version"], DagsterRunStatus.STARTED, False),
        (["evaluation_report", "promoted_version"], DagsterRunStatus.SUCCESS, False),
        (["promoted_version"], DagsterRunStatus.FAILURE, False),
        (
            ["feedback_dataset", "trained_model", "evaluation_report", "promoted_version"],
            DagsterRunStatus.STARTED,
            True,
        ),
    ],
)
def test_a_run_of_a_part_settles_no_week_unless_it_goes_from_feedback_to_promotion(
    wiped: Platform,
    only: list[str],
    status: DagsterRunStatus,
    left_out: bool,  # noqa: FBT001 - a table
):
    put_run(wiped.instance, partition(WEEK), only=only, status=status, tags=WHOLE_WEEK | {OUTCOME_TAG: "held"})
    assert (TECHNICAL not in weekly_tick(wiped, SUNDAY).requests) is left_out


def test_a_closed_week_before_the_first_one_is_not_requested(wiped: Platform):
    """Dagster refuses the whole tick for one partition that does not exist."""
    tick = weekly_tick(wiped.with_settings(first_week="2026-11-22"), SUNDAY)
    assert (tick.requests, tick.says) == ({}, "the week that closed last is no partition: FIRST_WEEK is 2026-11-22")


def test_a_check_that_somebody_executes_alone_takes_the_place_of_no_retraining(wiped: Platform):
    put_run(wiped.instance, partition(WEEK), checks=[MODELS_LOADED], status=DagsterRunStatus.STARTED, tags=WHOLE_WEEK)
    assert TECHNICAL in weekly_tick(wiped, SUNDAY).requests


CLOSES = datetime(2026, 11, 22, tzinfo=UTC)
A_SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("requested", "left_out"),
    [(CLOSES - timedelta(days=3), False), (CLOSES - A_SECOND, False), (CLOSES, True), (CLOSES + A_SECOND, True)],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_run_requested_before_the_week_closed_does_not_count(
    wiped: Platform,
    requested: datetime,
    left_out: bool,  # noqa: FBT001 - a table
    by_hand: bool,  # noqa: FBT001 - a table
):
    tags = {OUTCOME_TAG: "promoted"} | ({} if by_hand else {".dagster/nhm_asked_at": requested.isoformat()})
    put_run(wiped.instance, partition(WEEK), tags=tags, created=requested)
    assert (TECHNICAL not in weekly_tick(wiped, SUNDAY).requests) is left_out


def test_outcomes_of_other_weeks_and_specialists_do_not_count(wiped: Platform):
    promoted = WHOLE_WEEK | {OUTCOME_TAG: "promoted"}
    put_run(wiped.instance, partition("2026-11-08"), tags=promoted)
    put_run(wiped.instance, partition("2026-11-22"), tags=promoted)
    put_run(wiped.instance, partition(WEEK, "business"), tags=promoted)
    assert set(weekly_tick(wiped, SUNDAY).requests) == ALL - {f"business|{WEEK}"}


def test_after_weeks_of_outage_the_newest_closed_week_is_retrained_once(wiped: Platform):
    """Dagster evaluates every missed tick, oldest first."""
    back = datetime(2026, 12, 16, 9, 30, tzinfo=UTC)
    missed = [SUNDAY + timedelta(weeks=number) for number in range(4)]
    requested = []
    for scheduled in missed:
        tick = weekly_tick(wiped, back, scheduled=scheduled)
        launch(wiped, tick, status=DagsterRunStatus.QUEUED)
        requested.append(set(tick.requests))
    assert requested == [{f"{specialist}|2026-12-06" for specialist in FIVE}, set(), set(), set()]


def test_a_clock_that_is_slow_does_not_select_the_week_before(wiped: Platform):
    """Dagster starts a tick by its own clock, which may be ahead of this machine's."""
    real = wiped.with_settings(nhm_now=None)
    ahead = datetime.now(UTC) + timedelta(weeks=8)
    scheduled = (ahead - timedelta(days=(ahead.weekday() + 1) % 7)).replace(hour=2, minute=0, second=0, microsecond=0)
    tick = weekly_tick(real, None, scheduled=scheduled)
    assert {key.split("|")[1] for key in tick.requests} == {f"{scheduled - timedelta(days=7):%Y-%m-%d}"}


def test_without_mongodb_the_runs_are_requested_anyway_and_once(wiped: Platform):
    away = without_mongodb(wiped)
    tick = weekly_tick(away, SUNDAY)
    assert set(tick.requests) == ALL
    launch(away, tick, status=DagsterRunStatus.FAILURE)
    assert not weekly_tick(away, SUNDAY).requests
    assert not weekly_tick(wiped, SUNDAY).requests


def test_an_evaluation_waits_for_the_runs_that_another_one_requested(wiped: Platform):
    claim_by_another(wiped, lease=timedelta(seconds=60))
    theirs = Tick(_requests_of(wiped), "")

    def launch_in_a_moment() -> None:
        time.sleep(1)
        launch(wiped, theirs, status=DagsterRunStatus.QUEUED)

    other = threading.Thread(target=launch_in_a_moment)
    other.start()
    tick = weekly_tick(wiped, SUNDAY)
    other.join()
    assert not tick.requests
    assert len(wiped.instance.get_runs()) == 5


def _requests_of(platform: Platform) -> dict[str, RunRequest]:
    """What a tick requests, without its documents in MongoDB."""
    return weekly_tick(without_mongodb(platform), SUNDAY).requests


def test_if_the_other_evaluation_died_the_runs_are_requested_with_the_same_keys(wiped: Platform):
    before = time.monotonic()
    claim_by_another(wiped, lease=timedelta(seconds=2))
    tick = weekly_tick(wiped, SUNDAY)
    assert {request.run_key for request in tick.requests.values()} == {f"weekly:{key}" for key in ALL}
    assert time.monotonic() - before > 1.5


def test_a_run_that_was_created_but_never_submitted_is_requested_again(wiped: Platform):
    """The daemon died between creating the run and submitting it: requested again, Dagster submits that run."""
    first = weekly_tick(wiped, SUNDAY)
    launch(wiped, first, status=DagsterRunStatus.NOT_STARTED)
    wiped.database["retraining_triggers"].update_many({}, {"$set": {"claimed_until": SUNDAY - timedelta(days=300)}})
    again = weekly_tick(wiped, SUNDAY)
    assert {one.run_key for one in again.requests.values()} == {one.run_key for one in first.requests.values()}


def test_a_run_that_a_person_is_about_to_start_counts(wiped: Platform):
    put_run(wiped.instance, partition(WEEK), status=DagsterRunStatus.NOT_STARTED, tags=WHOLE_WEEK)
    assert set(weekly_tick(wiped, SUNDAY).requests) == ALL - {TECHNICAL}
