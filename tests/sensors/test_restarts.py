"""A run that broke because a service was down is started over until the service is back, or a day is over."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRequest, build_sensor_context

from nhm_assets.domain.outcomes import OUTCOME_TAG, TRANSIENT_TAG
from nhm_assets.runs.tags import attempts
from nhm_assets.settings import Settings
from resources.notifiers import Notifier
from sensors.lost_retries import lost_retry_sensor
from tests.support.dagster_internals import freeze_time
from tests.support.documents import NOW
from tests.support.notified import Receiver
from tests.support.platform import Platform
from tests.support.retrainings import MODELS_LOADED, end_run, fail_step, partition, put_dataset, put_run
from tests.support.reviews import ago, review
from tests.support.ticks import launch, outcome_tick, volume_tick, weekly_tick

FAILURE = DagsterRunStatus.FAILURE
AWAY = {OUTCOME_TAG: "broken", TRANSIENT_TAG: "true", "nhm/trigger": "weekly:technical"}
A_SECOND = timedelta(seconds=1)
MINUTES = timedelta(minutes=1)


@pytest.fixture
def instance(platform: Platform) -> Iterator[DagsterInstance]:
    return platform.instance


def broke(instance: DagsterInstance, tags: dict[str, str] | None = None, **how: Any) -> str:
    """A run that ended now because a service was down."""
    run_id = put_run(instance, status=DagsterRunStatus.STARTED, tags=AWAY | (tags or {}), **how)
    end_run(instance, run_id, DagsterEventType.RUN_FAILURE)
    return run_id


def requests(instance: DagsterInstance, after: timedelta, **settings: Any) -> list[RunRequest]:
    with freeze_time(datetime.now(UTC) + after):
        context = build_sensor_context(instance=instance, resources={"settings": Settings(**settings)})
        return list(lost_retry_sensor(context).run_requests or [])


@pytest.mark.parametrize(("restarts", "minutes"), [(0, 5), (1, 15), (2, 60), (3, 180), (4, 180), (9, 180)])
def test_it_is_started_over_after_5_15_and_60_minutes_and_then_every_180(
    instance: DagsterInstance, restarts: int, minutes: int
):
    run_id = broke(instance, {".dagster/nhm_restarts": str(restarts)})
    assert requests(instance, minutes * MINUTES - 10 * A_SECOND) == []
    (request,) = requests(instance, minutes * MINUTES + A_SECOND)
    assert request.run_key == f"restart:{run_id}"
    assert request.tags[".dagster/nhm_restarts"] == str(restarts + 1)


def test_a_pause_may_be_longer_than_a_day(instance: DagsterInstance):
    broke(instance)
    settings = {"restart_after_minutes": (2880.0,), "restart_for_hours": 100.0}
    assert requests(instance, timedelta(days=2) - 10 * A_SECOND, **settings) == []
    assert len(requests(instance, timedelta(days=2) + A_SECOND, **settings)) == 1


def test_after_a_day_it_is_given_up(instance: DagsterInstance):
    broke(instance, {".dagster/nhm_restarts": "11"})
    assert requests(instance, timedelta(hours=4)) == []


def test_the_delays_are_settings(instance: DagsterInstance):
    broke(instance)
    assert requests(instance, 2 * A_SECOND, restart_after_minutes=(0.01,))
    assert requests(instance, timedelta(hours=1), restart_for_hours=0) == []


def test_it_is_another_attempt_of_the_same_trigger_and_week(instance: DagsterInstance):
    first = broke(instance, {".dagster/nhm_asked_at": "2026-03-08T02:00:00+00:00"})
    ids = [first]
    for number in (1, 2):
        (request,) = requests(instance, timedelta(hours=3))
        assert request.partition_key == partition().key
        assert request.tags["nhm/trigger"] == "weekly:technical"
        assert request.tags[".dagster/nhm_asked_at"] == "2026-03-08T02:00:00+00:00"
        assert request.tags[".dagster/nhm_restarts"] == str(number)
        ids.append(broke(instance, dict(request.tags)))
    last = instance.get_run_by_id(ids[-1])
    assert attempts(last) == set(ids)


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (FAILURE, {TRANSIENT_TAG: "false"}),
        (FAILURE, {OUTCOME_TAG: "refused"}),
        (DagsterRunStatus.CANCELED, {}),
        (DagsterRunStatus.SUCCESS, {OUTCOME_TAG: "promoted"}),
    ],
)
def test_other_runs_are_not_started_over(instance: DagsterInstance, status: DagsterRunStatus, tags: dict[str, str]):
    """A promoted run may still carry the tag of the attempt before it."""
    put_run(instance, status=status, tags=AWAY | tags)
    assert requests(instance, timedelta(hours=3)) == []


@pytest.mark.parametrize("status", [DagsterRunStatus.QUEUED, DagsterRunStatus.SUCCESS, FAILURE])
def test_a_newer_run_of_the_partition_takes_its_place(instance: DagsterInstance, status: DagsterRunStatus):
    broke(instance)
    put_run(instance, status=status)
    assert requests(instance, timedelta(hours=3)) == []


def test_a_newer_run_of_a_part_or_of_another_week_does_not(instance: DagsterInstance):
    broke(instance)
    put_run(instance, only=["feedback_dataset"])
    put_run(instance, checks=[MODELS_LOADED])
    put_run(instance, partition("2026-01-04"))
    put_run(instance, partition(specialist="business"))
    assert len(requests(instance, timedelta(hours=3))) == 1


def test_a_run_whose_partition_is_gone_is_not_started_over_and_holds_up_no_other(instance: DagsterInstance):
    """Dagster refuses the whole tick for one partition that does not exist."""
    broke(instance, of=partition(specialist="taken-out"))
    broke(instance, of=partition("2026-01-04"))
    broke(instance)
    (request,) = requests(instance, timedelta(hours=3), first_week="2026-01-11")
    assert request.partition_key == partition().key


def test_a_run_of_a_part_is_started_over_as_that_part(instance: DagsterInstance):
    broke(instance, only=["trained_model"])
    (request,) = requests(instance, timedelta(hours=3))
    assert [key.to_user_string() for key in request.asset_selection] == ["trained_model"]


def test_a_run_of_a_check_alone_is_started_over_as_that_check(instance: DagsterInstance):
    """With neither assets nor checks selected, it would train and promote."""
    broke(instance, checks=[MODELS_LOADED])
    (request,) = requests(instance, timedelta(hours=3))
    assert (request.asset_selection, request.asset_check_keys) == (None, [MODELS_LOADED])


def test_people_are_told_once_when_the_outage_begins_and_once_when_the_run_is_given_up(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    told = []
    for restarts in (0, 1, 2, 9, 10):
        tags = {"nhm/trigger": "weekly:t", OUTCOME_TAG: "broken", ".dagster/nhm_restarts": str(restarts)}
        run_id = put_run(platform.instance, status=FAILURE, tags=tags)
        mark_transient(platform, run_id)
        outcome_tick(platform, [webhook])
        told.append([body["message"] for body in there.received])
        there.received.clear()
    assert [len(messages) for messages in told] == [1, 0, 0, 0, 1]
    assert "The run is started over at " in told[0][0]
    assert "The run is started over at " not in told[-1][0]
    (found,) = platform.database["retraining_triggers"].find()
    assert (found["outcome"], found["status"], found["transient"]) == ("broken", "failed", True)


def mark_transient(platform: Platform, run_id: str) -> None:
    """Let the run's step fail as it does while MongoDB is away."""
    fail_step(platform.instance, run_id, "MongoUnavailable", "MongoDB is away")


HOUR_AGO = ago(NOW, hours=1)
WEEK = "2026-03-15"


def test_while_it_waits_the_volume_sensor_requests_no_other_run_and_then_there_is_no_cooldown(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    (run_id,) = launch(platform, volume_tick(platform), status=FAILURE)
    fail_step(platform.instance, run_id, "MlflowUnavailable", "MLflow is away")
    outcome_tick(platform)
    says = volume_tick(platform, NOW + MINUTES).says
    assert f"run {run_id} broke because a service was down, and is started over at" in says
    impatient = platform.with_settings(restart_for_hours=0)
    platform.instance.add_run_tags(run_id, {".dagster/nhm_reported": ""})
    outcome_tick(impatient)
    assert volume_tick(impatient, NOW + MINUTES).requests


def test_a_run_that_broke_for_another_reason_has_its_cooldown(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    (run_id,) = launch(platform, volume_tick(platform), status=FAILURE)
    fail_step(platform.instance, run_id, "DataError", "a column is missing")
    outcome_tick(platform)
    assert "the next is possible at 2026-03-23 12:00" in volume_tick(platform, NOW + MINUTES).says


@pytest.mark.slow
def test_the_schedule_leaves_out_a_specialist_whose_run_waits(platform: Platform):
    sunday = datetime(2026, 3, 15, 2, tzinfo=UTC)
    asked = {".dagster/nhm_asked_at": sunday.isoformat(), "nhm/trigger": "by ada"}
    broke(platform.instance, asked, of=partition("2026-03-08"))
    assert "technical|2026-03-08" not in weekly_tick(platform, sunday).requests
    given_up = platform.with_settings(restart_for_hours=0)
    assert "technical|2026-03-08" in weekly_tick(given_up, sunday).requests


def test_feedback_that_a_broken_run_has_read_is_still_new(platform: Platform):
    review(platform.database, 100, HOUR_AGO)
    run_id = put_run(platform.instance, partition(WEEK), status=FAILURE)
    put_dataset(platform.instance, partition(WEEK), NOW, run_id=run_id)
    assert list(volume_tick(platform).requests) == [f"technical|{WEEK}"]
