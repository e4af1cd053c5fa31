"""What the sensor on ended runs records, once per run."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterRunStatus

from nhm_assets.domain.dagster_names import INCREMENT_CONFIG
from nhm_assets.domain.outcomes import BROKEN_BY_TAG, OUTCOME_TAG, REASON_TAG
from resources.errors import MongoUnavailable
from resources.notifiers import Notifier
from tests.support.documents import NOW, WEEK, feedback, put
from tests.support.ended_runs import HELD, PROMOTED, put_ended_run, recorded_breaks, recorded_triggers, tags_of
from tests.support.notified import Receiver
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.processes import silent_port
from tests.support.retrainings import MODELS_LOADED, partition, put_run
from tests.support.ticks import launch, outcome_tick, volume_tick, weekly_tick

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED


def without_mongodb(platform: Platform) -> Platform:
    return platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{free_port()}", mongodb_timeout_s=0.3)


@pytest.mark.parametrize("outcome", ["promoted", "held", "superseded", "unchanged"])
def test_an_outcome_is_recorded_and_sent_once(platform: Platform, hooked: tuple[Receiver, Notifier], outcome: str):
    there, webhook = hooked
    run_id = put_ended_run(platform, {OUTCOME_TAG: outcome, REASON_TAG: "so it is"})
    for _ in range(3):
        outcome_tick(platform, [webhook])
    found = recorded_triggers(platform)[run_id]
    created = platform.instance.get_run_record_by_id(run_id).create_timestamp
    assert found["triggered_at"] == found["requested_at"]
    del found["triggered_at"]
    assert abs(found.pop("requested_at") - created) < timedelta(milliseconds=1)
    assert found == {
        "_id": f"run:{run_id}",
        "trigger_id": f"run:{run_id}",
        "kind": "other",
        "number": 0,
        "specialist": "technical",
        "specialist_type": "technical",
        "week": WEEK,
        "status": "completed",
        "outcome": outcome,
        "feedback_count": 0,
        "feedback_window_days": 30,
        "metadata": {"mlflow_run_id": None},
        "transient": False,
        "run_id": run_id,
        "reason": "so it is",
        "held_as": None,
        "broken_by": None,
        "finished_at": NOW,
    }
    assert [(one["outcome"], one["reason"]) for one in there.retrainings] == [(outcome, "so it is")]
    assert tags_of(platform, run_id)[".dagster/nhm_reported"] == run_id
    assert recorded_breaks(platform) == []


def test_a_run_of_a_person_that_was_asked_for_an_increment_is_recorded_as_one(platform: Platform):
    ids = [put_run(platform.instance, tags=HELD, config=config) for config in (INCREMENT_CONFIG, None)]
    outcome_tick(platform)
    assert [recorded_triggers(platform)[run_id].get("increment") for run_id in ids] == [True, None]


def test_how_a_candidate_is_held_is_recorded_and_the_third_below_in_a_row_is_an_alert(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    stories = [("uncertain", ""), ("below", "2"), ("below", "3")]
    for held_as, in_a_row in stories:
        tags = {**HELD, "nhm/held_as": held_as, "nhm/below_in_a_row": in_a_row}
        run_id = put_ended_run(platform, tags)
        outcome_tick(platform, [webhook])
        assert recorded_triggers(platform)[run_id]["held_as"] == held_as
    assert [body["type"] for body in there.received] == ["info", "warning", "failure"]
    assert [one["held_as"] for one in there.retrainings] == ["uncertain", "below", "below"]
    assert "held by f1_threshold (below the line, 3 in a row" in there.received[-1]["title"]


AGAIN = f"Run `nhm retrain --week {WEEK} --specialist technical` unless it is retried automatically"


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
@pytest.mark.parametrize("tags", [{}, PROMOTED, HELD, {BROKEN_BY_TAG: "data"}])
def test_a_run_that_ended_without_a_failed_step_counts_as_killed(
    platform: Platform, hooked: tuple[Receiver, Notifier], status: DagsterRunStatus, tags: dict[str, str]
):
    """Whatever tags it inherited."""
    there, webhook = hooked
    run_id = put_run(platform.instance, status=status, tags={**tags, "nhm/actor": "ada"})
    outcome_tick(platform, [webhook])
    found = recorded_triggers(platform)[run_id]
    assert (found["outcome"], found["broken_by"]) == ("broken", "killed")
    (entry,) = recorded_breaks(platform)
    assert entry == {
        "_id": f"broken:{run_id}",
        "kind": "broken",
        "specialist": "technical",
        "week": WEEK,
        "model": "technical-evaluator",
        "reason": f"its process ended before the run did. {AGAIN}",
        "broken_by": "killed",
        "dagster_run_id": run_id,
        "actor": "ada",
        "origin": "UI",
        "at": NOW,
    }
    (sent,) = there.retrainings
    assert (sent["outcome"], sent["broken_by"], sent["held_by"]) == ("broken", "killed", [])
    assert sent["reason"] == f"its process ended before the run did. {AGAIN}"
    tagged = tags_of(platform, run_id)
    assert (tagged[OUTCOME_TAG], tagged[BROKEN_BY_TAG]) == ("broken", "killed")


def test_dagsters_own_message_is_the_reason_of_a_run_that_it_ended(platform: Platform):
    run_id = put_run(platform.instance, status=DagsterRunStatus.STARTED)
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    platform.instance.report_run_failed(run, "Exceeded maximum runtime of 7200 seconds.")
    outcome_tick(platform)
    assert recorded_triggers(platform)[run_id]["reason"] == f"Exceeded maximum runtime of 7200 seconds. {AGAIN}"


def test_a_run_of_a_part_that_decided_nothing_is_not_reported(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    run_id = put_run(platform.instance, only=["feedback_dataset"])
    outcome_tick(platform, [webhook])
    assert (recorded_triggers(platform), there.retrainings) == ({}, [])
    assert tags_of(platform, run_id)[".dagster/nhm_reported"] == run_id


def test_checks_that_somebody_executed_alone_break_no_retraining(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    put_run(platform.instance, checks=[MODELS_LOADED], status=FAILURE, tags={OUTCOME_TAG: "broken"})
    outcome_tick(platform, [webhook])
    assert (recorded_triggers(platform), recorded_breaks(platform), there.retrainings) == ({}, [], [])


@pytest.mark.parametrize("status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING])
def test_a_run_in_progress_is_not_reported(platform: Platform, status: DagsterRunStatus):
    run_id = put_run(platform.instance, status=status, tags=PROMOTED)
    outcome_tick(platform)
    assert recorded_triggers(platform) == {}
    assert ".dagster/nhm_reported" not in tags_of(platform, run_id)


def test_runs_of_other_jobs_are_ignored(platform: Platform, hooked: tuple[Receiver, Notifier]):
    from tests.support.dagster_internals import create_run_for_test

    there, webhook = hooked
    create_run_for_test(platform.instance, job_name="rollback_promotion", status=FAILURE)
    assert "outcomes reported: 0" in outcome_tick(platform, [webhook]).says
    assert there.retrainings == []


def test_the_trigger_of_the_volume_sensor_gets_the_outcome_of_its_run(platform: Platform):
    few = platform.with_settings(retraining_feedback_threshold=1)
    put(platform.database, feedback=[feedback(submitted_at=NOW - timedelta(hours=1))])
    (by_volume,) = launch(few, volume_tick(few), status=FAILURE)
    outcome_tick(few)
    found = recorded_triggers(platform)[by_volume]
    assert (found["kind"], found["number"], found["count"]) == ("feedback_volume", 1, 1)
    assert (found["outcome"], found["requested_at"], found["finished_at"]) == ("broken", NOW, NOW)
    assert "claimed_until" not in found


def test_the_triggers_of_the_schedule_get_the_outcomes_of_their_runs(platform: Platform):
    sunday = datetime(2026, 3, 15, 2, tzinfo=UTC)
    ids = launch(platform, weekly_tick(platform, sunday), status=CANCELED)
    outcome_tick(platform)
    found = recorded_triggers(platform)
    assert {found[run_id]["_id"] for run_id in ids} == {
        f"weekly:{specialist}|2026-03-08"
        for specialist in ("technical", "business", "behavior", "evolution", "architecture")
    }
    assert {one["outcome"] for one in found.values()} == {"broken"}
    assert {one["kind"] for one in found.values()} == {"weekly"}


def test_mongodb_that_is_down_costs_a_tick_one_timeout(platform: Platform):
    for _ in range(5):
        put_run(platform.instance, tags=PROMOTED)
    with silent_port() as port:
        away = platform.with_settings(mongodb_uri=f"mongodb://127.0.0.1:{port}", mongodb_timeout_s=4)
        before = time.monotonic()
        with pytest.raises(MongoUnavailable):
            outcome_tick(away)
        assert time.monotonic() - before < 5 * 4


def test_while_mongodb_is_down_nothing_is_lost_and_nothing_is_sent_twice(
    platform: Platform, hooked: tuple[Receiver, Notifier]
):
    there, webhook = hooked
    ids = [put_ended_run(platform), put_run(platform.instance, partition(specialist="business"), status=FAILURE)]
    away = without_mongodb(platform)
    for _ in range(2):
        with pytest.raises(MongoUnavailable, match="cannot be reached"):
            outcome_tick(away, [webhook])
    assert recorded_triggers(platform) == {}
    outcome_tick(platform, [webhook])
    assert {run_id: one["outcome"] for run_id, one in recorded_triggers(platform).items()} == dict(
        zip(ids, ["promoted", "broken"], strict=True)
    )
    assert len(recorded_breaks(platform)) == 1
    assert sorted(one["outcome"] for one in there.retrainings) == ["broken", "promoted"]
