"""The weekly schedule and the sensor on feedback, run by the real daemon."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nhm_assets.domain.dagster_names import SCHEDULE, VOLUME_SENSOR
from nhm_assets.domain.partitions import Partition, last_closed_week, running_week
from nhm_assets.domain.specialists import FIVE
from tests.daemon.conftest import ON_SQLITE_LESS_OFTEN, NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true
from tests.support.documents import put, reviewed_opinions

COMPLETED = {"promoted", "held"}


@ON_SQLITE_LESS_OFTEN
@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_runs_per_week_and_one_for_the_hundredth_document_though_daemons_die_and_run_twice(
    new_platform: NewPlatform,
):
    platform = new_platform(module="tests.support.every_minute", min_real_samples=100, min_test_rows=40)
    now = datetime.now(UTC)
    closed, running = last_closed_week(now), running_week(now)
    seed_closed_week(platform, Partition.parse(closed, "technical").week_end)
    opinions, reviews = hundred_documents("technical")
    put(platform.database, opinions=opinions, feedback=reviews[:99])

    daemon = platform.start_daemon()
    assert becomes_true(lambda: platform.has_finished(5)), platform.log
    assert sorted(partitions(platform)) == sorted(f"{name}|{closed}" for name in FIVE)
    assert all(run.tags["nhm/outcome"] in COMPLETED for run in platform.runs())
    assert becomes_true(lambda: was_skipped(platform, "technical: 99 of 100 feedback documents"))
    assert len(platform.runs()) == 5

    put(platform.database, feedback=reviews[99:])
    inserted_at = time.time()
    assert becomes_true(lambda: any(tick.run_ids for tick in platform.ticks(VOLUME_SENSOR))), platform.log
    assert partitions(platform)[5:] == [f"technical|{running}"]
    (launching,) = (tick for tick in platform.ticks(VOLUME_SENSOR) if tick.run_ids)
    assert launching.run_ids == [platform.runs()[5].run_id]
    before = [tick for tick in platform.ticks(VOLUME_SENSOR, inserted_at) if tick.timestamp < launching.timestamp]
    assert before == [], "a tick overlooked the hundredth document"
    assert becomes_true(lambda: trigger(platform, "technical")["outcome"] in COMPLETED), platform.log
    assert_complete(trigger(platform, "technical"), platform.runs()[5].run_id, running)

    platform.kill(daemon)
    opinions, reviews = hundred_documents("business")
    put(platform.database, opinions=opinions, feedback=reviews)
    platform.start_daemon()
    platform.start_daemon()
    assert becomes_true(lambda: platform.has_finished(7)), platform.log
    since = time.time()
    assert becomes_true(lambda: platform.ticks(SCHEDULE, since) and platform.ticks(VOLUME_SENSOR, since))
    assert partitions(platform)[5:] == [f"technical|{running}", f"business|{running}"]
    assert len(platform.ticks(SCHEDULE)) > 2, "the schedule was evaluated only once"


def seed_closed_week(platform: DaemonPlatform, end: datetime) -> None:
    """Insert feedback that is in the window of the closed week, but not in that of the running week.

    Both windows have thirty days, and the running one ends now.
    """
    since_closed = datetime.now(UTC) - end
    last, days = end - timedelta(days=30) + since_closed, since_closed / timedelta(days=1)
    for specialist in FIVE:
        opinions, reviews = reviewed_opinions(400, specialist=specialist, end=last, days=0.98 * days)
        put(platform.database, opinions=opinions, feedback=reviews)


def hundred_documents(specialist: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A hundred reviews of the last ten seconds."""
    return reviewed_opinions(100, specialist=specialist, seed=2, end=datetime.now(UTC), days=10 / 86400)


def partitions(platform: DaemonPlatform) -> list[str]:
    """The partitions of all runs, oldest run first."""
    return [run.tags["dagster/partition"] for run in platform.runs()]


def was_skipped(platform: DaemonPlatform, reason: str) -> bool:
    """Whether a tick of the sensor started nothing and gave this reason."""
    return any(reason in (tick.skip_reason or "") for tick in platform.ticks(VOLUME_SENSOR))


def trigger(platform: DaemonPlatform, specialist: str) -> dict[str, Any]:
    """The document in `retraining_triggers` on the sensor's run for a specialist."""
    triggers = platform.database["retraining_triggers"]
    documents = list(triggers.find({"kind": "feedback_volume", "specialist": specialist}))
    assert len(documents) == 1
    return documents[0]


def assert_complete(document: dict[str, Any], run_id: str, week: str) -> None:
    """The document holds everything that is recorded of a run that the sensor started."""
    start, end = document["window"]["start"], document["window"]["end"]
    assert (document["run_id"], document["week"]) == (run_id, week)
    assert (document["count"], document["threshold"]) == (100, 100)
    assert start == end - timedelta(days=30)
    assert end == document["requested_at"] <= document["launched_at"] <= document["finished_at"]
    assert document["reason"]
    assert (document["status"], document["feedback_count"], document["feedback_window_days"]) == ("completed", 100, 30)
    assert document["metadata"]["mlflow_run_id"]
