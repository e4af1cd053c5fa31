"""More requests than may run at the same time, handled by the real daemon."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from dagster import DagsterRunStatus, RunRecord

from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.promotion_lock import hold_lock
from tests.daemon.conftest import ON_POSTGRES_LESS_OFTEN, NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true

REQUESTS = 8
FEEDBACK_PER_DAY = 13
MAX_RUN_SECONDS = 90
SETTINGS = {
    "min_real_samples": 200,
    "min_test_rows": 40,
    "max_concurrent_runs": 2,
    "max_run_seconds": MAX_RUN_SECONDS,
    "rollout_timeout_s": 10,
    # Which week is promoted depends on the weeks alone, not on the order in which they run.
    "max_f1_regression": 1.0,
    "retraining_feedback_threshold": 10_000,
}


@ON_POSTGRES_LESS_OFTEN
@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_requests_for_one_specialist_run_one_after_another_though_another_one_hangs(new_platform: NewPlatform):
    platform = new_platform(**SETTINGS)
    week = last_closed_week(datetime.now(UTC))
    requested, hanging = Partition(week, Specialist("technical")), Partition(week, Specialist("business"))
    for partition in (requested, hanging):
        # Reviewers who agree: only a candidate that is promoted waits for the other promotion.
        platform.add_feedback(partition.specialist, 30 * FEEDBACK_PER_DAY, end=partition.week_end, disagreement=0.0)
    platform.start_daemon()
    webserver = platform.start_webserver()

    with another_promotion(platform, hanging.specialist):
        hanging_run = webserver.launch(hanging)
        with ThreadPoolExecutor(REQUESTS) as people:
            requested_runs = set(people.map(lambda _: webserver.launch(requested), range(REQUESTS)))
        assert becomes_true(lambda: is_finished(platform, hanging_run)), platform.log
    assert becomes_true(lambda: platform.has_finished(REQUESTS + 1), every_s=2), platform.log

    runs = platform.instance.get_run_records()
    same_partition = [record for record in runs if record.dagster_run.run_id in requested_runs]
    assert len(requested_runs) == REQUESTS
    assert (max_concurrent(same_partition), max_concurrent(runs)) == (1, SETTINGS["max_concurrent_runs"])
    outcomes = sorted(record.dagster_run.tags["nhm/outcome"] for record in same_partition)
    assert outcomes == sorted(["promoted"] + ["unchanged"] * (REQUESTS - 1))
    assert platform.registry(requested.specialist) == (["Production"], [])
    assert becomes_true(lambda: ".dagster/nhm_reported" in platform.runs(str(hanging.specialist))[0].tags)
    (tags,) = [run.tags for run in platform.runs(str(hanging.specialist)) if run.run_id == hanging_run]
    assert (tags["nhm/outcome"], tags["nhm/broken_by"]) == ("broken", "killed")
    hanging_runs = [run.run_id for run in platform.runs(str(hanging.specialist))]
    assert hanging_runs == [hanging_run], "a run that hangs is not retried"


@ON_POSTGRES_LESS_OFTEN
@pytest.mark.exhaustive
def test_a_backfill_ends_with_the_newest_good_version_in_production_though_a_process_dies(new_platform: NewPlatform):
    platform = new_platform(**SETTINGS | {"max_run_seconds": 7200})
    newest = Partition(last_closed_week(datetime.now(UTC)), Specialist("technical")).week_end
    weeks = [f"{newest - timedelta(weeks=back):%Y-%m-%d}" for back in (1, 2, 3)]
    # The newest week's feedback of `business` is contradictory, so its candidate is held.
    platform.add_feedback(Specialist("technical"), 45 * FEEDBACK_PER_DAY, end=newest, days=45)
    platform.add_feedback(Specialist("business"), 45 * FEEDBACK_PER_DAY, end=newest - timedelta(weeks=1), days=45)
    platform.add_feedback(Specialist("business"), 7 * FEEDBACK_PER_DAY, end=newest, days=7, disagreement=1.0)
    platform.start_daemon()
    webserver = platform.start_webserver()

    partitions = [Partition(week, name) for name in (Specialist("technical"), Specialist("business")) for week in weeks]
    webserver.backfill(partitions)
    killed = kill_a_run_in_training(platform)
    # The killed run is retried once; the others run once.
    assert becomes_true(lambda: platform.has_finished(len(partitions) + 1), every_s=2), platform.log
    statuses = {run.run_id: run.status for run in platform.runs()}
    assert statuses.pop(killed) is DagsterRunStatus.FAILURE
    assert list(statuses.values()) == [DagsterRunStatus.SUCCESS] * len(partitions)
    assert platform.production_window(Specialist("technical")) == newest
    assert platform.production_window(Specialist("business")) == newest - timedelta(weeks=1)
    assert platform.registry(Specialist("technical"))[1] == platform.registry(Specialist("business"))[1] == []


def kill_a_run_in_training(platform: DaemonPlatform) -> str:
    """SIGKILL the process of the first run that has begun its training, and return the run's id."""
    training: list[str] = []

    def is_training() -> bool:
        training[:] = [run.run_id for run in platform.runs() if platform.has_started(run.run_id, "trained_model")]
        return bool(training)

    assert becomes_true(is_training, every_s=0.2), platform.log
    process = platform.process_of(training[0])
    assert process
    os.kill(process, signal.SIGKILL)
    return training[0]


@contextmanager
def another_promotion(platform: DaemonPlatform, specialist: Specialist) -> Iterator[None]:
    """While this lasts, somebody else promotes this specialist and does not finish."""
    log, fields = platform.database["model_audit_log"], {"kind": "promotion", "at": datetime.now(UTC)}
    with hold_lock(log, specialist.registered_model, fields, recover=lambda _: None, wait_s=5) as intent:
        yield
        intent.discard()


def is_finished(platform: DaemonPlatform, run_id: str) -> bool:
    """Whether a run has finished: failed or, if its process reports before the daemon does, canceled."""
    run = platform.instance.get_run_by_id(run_id)
    assert run
    return run.is_finished


def max_concurrent(records: list[RunRecord]) -> int:
    """How many of these runs worked at the same moment, at most."""
    moments = [(record.start_time, 1) for record in records] + [(record.end_time, -1) for record in records]
    working = most = 0
    for _, change in sorted(moments):
        working += change
        most = max(most, working)
    return most
