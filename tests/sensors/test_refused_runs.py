"""A run in which a person was refused what the rules forbid: only that person is told, and nothing is recorded."""

from datetime import UTC, datetime

import pytest
from dagster import DagsterRunStatus

from nhm_assets.domain.outcomes import OUTCOME_TAG
from resources.notifiers import Notifier
from tests.support.documents import NOW
from tests.support.ended_runs import recorded_breaks, recorded_triggers, tags_of
from tests.support.notified import Receiver
from tests.support.platform import Platform
from tests.support.retrainings import fail_step, partition, put_dataset, put_run
from tests.support.reviews import ago, review
from tests.support.ticks import launch, outcome_tick, volume_tick, weekly_tick

SUNDAY = datetime(2026, 3, 15, 2, tzinfo=UTC)
CLOSED, RUNNING = "2026-03-08", "2026-03-15"


def refuse(platform: Platform, run_id: str) -> None:
    fail_step(platform.instance, run_id, "PromotionRefused", "version 3 is held by f1_threshold")


def refused_click(platform: Platform, week: str) -> str:
    """Somebody materializes `promoted_version` by itself for a held candidate."""
    tags = {".dagster/nhm_asked_at": SUNDAY.isoformat()}
    run_id = put_run(
        platform.instance,
        partition(week),
        only=["promoted_version"],
        status=DagsterRunStatus.FAILURE,
        tags=tags,
    )
    refuse(platform, run_id)
    return run_id


def test_it_is_tagged_with_the_reason_and_nobody_else_is_told(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    run_id = refused_click(platform, CLOSED)
    for _ in range(2):
        outcome_tick(platform.with_settings(notify_outcomes="promoted,refused,broken"), [webhook])
    tags = tags_of(platform, run_id)
    assert tags[OUTCOME_TAG] == "refused"
    assert "version 3 is held by f1_threshold" in tags["nhm/reason"]
    assert (there.received, recorded_triggers(platform), recorded_breaks(platform)) == ([], {}, [])


def test_it_does_not_cost_the_specialist_its_week(platform: Platform):
    refused_click(platform, CLOSED)
    outcome_tick(platform)
    assert f"technical|{CLOSED}" in weekly_tick(platform, SUNDAY).requests


def test_it_makes_no_feedback_old_and_starts_no_cooldown(platform: Platform):
    review(platform.database, 100, ago(NOW, hours=2))
    run_id = refused_click(platform, RUNNING)
    put_dataset(platform.instance, partition(RUNNING), ago(NOW, hours=1), run_id=run_id)
    outcome_tick(platform)
    assert volume_tick(platform).requests


def test_a_refused_run_of_the_sensor_ends_its_trigger(platform: Platform, hooked: tuple[Receiver, Notifier]):
    there, webhook = hooked
    review(platform.database, 100, ago(NOW, hours=1))
    (run_id,) = launch(platform, volume_tick(platform), status=DagsterRunStatus.FAILURE)
    refuse(platform, run_id)
    outcome_tick(platform, [webhook])
    found = recorded_triggers(platform)[run_id]
    assert (found["outcome"], found["status"]) == ("refused", "failed")
    assert there.received == []


@pytest.mark.parametrize("status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED])
def test_a_part_of_the_graph_that_is_at_work_keeps_no_week_from_its_run(platform: Platform, status: DagsterRunStatus):
    put_run(
        platform.instance,
        partition(CLOSED),
        only=["promoted_version"],
        status=status,
        tags={".dagster/nhm_asked_at": SUNDAY.isoformat()},
    )
    assert f"technical|{CLOSED}" in weekly_tick(platform, SUNDAY).requests
