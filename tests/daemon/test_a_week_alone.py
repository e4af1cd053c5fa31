"""The schedule, and the sensor on feedback, in the hands of the real daemon."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nhm_assets.domain.dagster_names import SCHEDULE, VOLUME_SENSOR
from nhm_assets.domain.partitions import Partition, last_closed_week, running_week
from nhm_assets.domain.specialists import SPECIALISTS
from tests.daemon.conftest import NewPlatform
from tests.support.daemon import Unattended, comes_true
from tests.support.documents import put, reviewed_opinions

CANDIDATE_JUDGED = {"promoted", "held"}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_five_runs_a_week_and_one_for_the_hundredth_document_though_daemons_die_and_double(new_platform: NewPlatform):
    platform = new_platform(module="tests.support.every_minute", min_real_samples=100, min_test_rows=40)
    now = datetime.now(UTC)
    closed, running = last_closed_week(now), running_week(now)
    seed_closed_week(platform, Partition.parse(closed, "technical").week_end)
    opinions, reviews = hundred_documents("technical")
    put(platform.database, opinions=opinions, feedback=reviews[:99])

    daemon = platform.start_daemon()
    assert comes_true(lambda: platform.ended(5), within_s=400), platform.log
    assert sorted(asked_for(platform)) == sorted(f"{name}|{closed}" for name in SPECIALISTS)
    assert all(run.tags["nhm/outcome"] in CANDIDATE_JUDGED for run in platform.runs())
    assert comes_true(lambda: sensor_says(platform, "technical: 99 of 100 feedback documents"), within_s=60)
    assert len(platform.runs()) == 5

    complete = time.time()
    put(platform.database, feedback=reviews[99:])
    assert comes_true(lambda: len(platform.runs()) > 5, within_s=90), platform.log
    assert asked_for(platform)[5:] == [f"technical|{running}"]
    assert platform.instance.get_run_records(limit=1)[0].create_timestamp.timestamp() - complete < 90
    assert comes_true(lambda: trigger(platform, "technical")["status"] in CANDIDATE_JUDGED, within_s=300), platform.log
    assert_complete(trigger(platform, "technical"), platform.runs()[5].run_id, running)

    platform.kill(daemon)
    opinions, reviews = hundred_documents("business")
    put(platform.database, opinions=opinions, feedback=reviews)
    platform.start_daemon()
    platform.start_daemon()
    assert comes_true(lambda: platform.ended(7), within_s=400), platform.log
    since = time.time()
    assert comes_true(lambda: platform.ticks(SCHEDULE, since) and platform.ticks(VOLUME_SENSOR, since), within_s=120)
    assert asked_for(platform)[5:] == [f"technical|{running}", f"business|{running}"]
    assert len(platform.ticks(SCHEDULE)) > 2, "the schedule was asked once only"


def seed_closed_week(platform: Unattended, end: datetime) -> None:
    """Feedback that is in the window of the closed week, but not in that of the running one."""
    for specialist in SPECIALISTS:
        opinions, reviews = reviewed_opinions(400, specialist=specialist, end=end - timedelta(days=23), days=6.9)
        put(platform.database, opinions=opinions, feedback=reviews)


def hundred_documents(specialist: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A hundred reviews of the last seconds."""
    return reviewed_opinions(100, specialist=specialist, seed=2, end=datetime.now(UTC), days=10 / 86400)


def asked_for(platform: Unattended) -> list[str]:
    """The partitions of all runs, in the order of their creation."""
    return [run.tags["dagster/partition"] for run in platform.runs()]


def sensor_says(platform: Unattended, words: str) -> bool:
    """Whether a tick of the sensor that started nothing gave this as its reason."""
    return any(words in (tick.skip_reason or "") for tick in platform.ticks(VOLUME_SENSOR))


def trigger(platform: Unattended, specialist: str) -> dict[str, Any]:
    """What `retraining_triggers` says of the sensor's run for a specialist."""
    found = list(platform.database["retraining_triggers"].find({"kind": "feedback_volume", "specialist": specialist}))
    assert len(found) == 1
    return found[0]


def assert_complete(document: dict[str, Any], run_id: str, week: str) -> None:
    """All that the rules want to be known of a run that the sensor started."""
    start, end = document["window"]["start"], document["window"]["end"]
    assert (document["run_id"], document["week"]) == (run_id, week)
    assert (document["count"], document["threshold"]) == (100, 100)
    assert start == Partition.parse(week, "technical").week_end - timedelta(days=30)
    assert start < end == document["requested_at"] <= document["launched_at"] <= document["finished_at"]
    assert document["reason"]
