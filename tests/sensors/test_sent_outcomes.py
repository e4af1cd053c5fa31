"""Which outcomes the sensor on ended runs sends, and what happens while a receiver is down."""

from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterRunStatus

from resources.notifiers import Notifier
from tests.support.ended_runs import HELD, put_ended_run, recorded_triggers, tags_of
from tests.support.notified import Receiver, receiver
from tests.support.platform import Platform
from tests.support.retrainings import put_run
from tests.support.ticks import outcome_tick

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED


def test_a_receiver_that_is_down_is_tried_again_and_the_others_get_the_outcome_once(platform: Platform):
    with receiver() as first, receiver() as second:
        first.status = 503
        all_of_them = [first.notifier, second.notifier]
        run_id = put_ended_run(platform)
        tick = outcome_tick(platform, all_of_them)
        assert "outcomes reported: 0, to be tried again: 1" in tick.says
        assert recorded_triggers(platform)[run_id]["outcome"] == "promoted"
        assert ".dagster/nhm_reported" not in tags_of(platform, run_id)
        first.status = 200
        outcome_tick(platform, all_of_them, cursor=tick.cursor)
        outcome_tick(platform, all_of_them, cursor=tick.cursor)
    assert (len(first.retrainings), len(second.retrainings)) == (2, 1)
    assert tags_of(platform, run_id)[".dagster/nhm_reported"] == run_id
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is SUCCESS


@pytest.mark.parametrize(("minutes", "given_up"), [(50, False), (70, True)])
def test_after_an_hour_a_receiver_that_is_down_is_given_up(
    platform: Platform,
    hooked: tuple[Receiver, Notifier],
    minutes: int,
    given_up: bool,  # noqa: FBT001 - a table
):
    there, webhook = hooked
    there.status = 500
    run_id = put_ended_run(platform, at=datetime.now(UTC) - timedelta(minutes=minutes))
    outcome_tick(platform, [webhook])
    assert (tags_of(platform, run_id).get(".dagster/nhm_reported") == run_id) is given_up
    assert recorded_triggers(platform)[run_id]["outcome"] == "promoted"


def test_a_receiver_that_is_down_is_tried_once_per_tick_and_delays_no_other_run(platform: Platform):
    ids = [put_ended_run(platform) for _ in range(5)]
    with receiver() as down, receiver() as there:
        down.status = 500
        outcome_tick(platform, [down.notifier, there.notifier])
    assert set(recorded_triggers(platform)) == set(ids)
    assert len(down.retrainings) == 1
    assert len(there.retrainings) == 5


def test_new_runs_come_before_those_that_wait_for_a_receiver(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    there.status = 500
    waiting = [put_ended_run(platform) for _ in range(2)]
    for _ in waiting:
        outcome_tick(platform, [webhook])
    new = put_ended_run(platform, HELD)
    there.status = 200
    outcome_tick(platform, [webhook])
    sent = [one["run"].split("/")[-1] for one in there.retrainings[-3:]]
    assert sent.index(new) == 0
    assert set(sent) == {new, *waiting}


@pytest.mark.parametrize(
    ("setting", "sent"), [("broken", ["broken"]), ("promoted,held", ["held", "promoted"]), (",", [])]
)
def test_only_the_outcomes_in_notify_outcomes_are_sent(platform: Platform, setting: str, sent: list[str]):
    selective = platform.with_settings(notify_outcomes=setting)
    ids = [put_ended_run(platform), put_ended_run(platform, HELD), put_run(platform.instance, status=FAILURE)]
    with receiver() as there:
        outcome_tick(selective, [there.notifier])
    assert sorted(one["outcome"] for one in there.retrainings) == sent
    assert set(recorded_triggers(platform)) == set(ids)
