"""More runs asked for than may work at a time, in the hands of the real daemon."""

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
from nhm_assets.registry.promotion_lock import hold_intent
from tests.daemon.conftest import NewPlatform
from tests.support.daemon import Unattended, comes_true

REQUESTS = 20
A_DAY = 13
MAX_RUN_SECONDS = 90
SETTINGS = {
    "min_real_samples": 200,
    "min_test_rows": 40,
    "max_concurrent_runs": 2,
    "max_run_seconds": MAX_RUN_SECONDS,
    # Which week is promoted is to hang on the weeks alone, not on the order in which they come.
    "max_f1_regression": 1.0,
    "retraining_feedback_threshold": 10_000,
}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_requests_for_one_specialist_run_one_after_another_though_another_one_hangs(new_platform: NewPlatform):
    platform = new_platform(**SETTINGS)
    week = last_closed_week(datetime.now(UTC))
    wanted, hanging = Partition(week, Specialist.TECHNICAL), Partition(week, Specialist.BUSINESS)
    for partition in (wanted, hanging):
        platform.add_feedback(partition.specialist, 30 * A_DAY, end=partition.week_end)
    platform.start_daemon()
    web = platform.start_web()

    with promotion_under_way(platform, hanging.specialist):
        hung = web.launch(hanging)
        with ThreadPoolExecutor(REQUESTS) as people:
            asked = set(people.map(lambda _: web.launch(wanted), range(REQUESTS)))
        assert comes_true(lambda: has_ended(platform, hung), within_s=400), platform.log
    assert comes_true(lambda: platform.ended(REQUESTS + 1), within_s=600, every_s=2), platform.log

    runs = platform.instance.get_run_records()
    same = [one for one in runs if one.dagster_run.run_id in asked]
    assert (len(asked), at_a_time(same), at_a_time(runs)) == (REQUESTS, 1, SETTINGS["max_concurrent_runs"])
    outcomes = sorted(one.dagster_run.tags["nhm/outcome"] for one in same)
    assert outcomes == sorted(["promoted"] + ["unchanged"] * (REQUESTS - 1))
    assert platform.registry(wanted.specialist) == (["Production"], [])
    tags = next(one for one in runs if one.dagster_run.run_id == hung).dagster_run.tags
    assert comes_true(lambda: "nhm/reported" in platform.runs(str(hanging.specialist))[0].tags, within_s=60)
    assert (tags["nhm/outcome"], tags["nhm/broken_by"]) == ("broken", "killed")
    assert [one.run_id for one in platform.runs(str(hanging.specialist))] == [hung], "what hangs is not started over"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_backfill_ends_with_the_newest_good_version_in_production_though_a_process_dies(new_platform: NewPlatform):
    platform = new_platform(**SETTINGS | {"max_run_seconds": 7200})
    newest = Partition(last_closed_week(datetime.now(UTC)), Specialist.TECHNICAL).week_end
    weeks = [f"{newest - timedelta(weeks=back):%Y-%m-%d}" for back in (1, 2, 3)]
    # Of one specialist the newest week's feedback is contradictory: nothing good can come of it.
    platform.add_feedback(Specialist.TECHNICAL, 45 * A_DAY, end=newest, days=45)
    platform.add_feedback(Specialist.BUSINESS, 45 * A_DAY, end=newest - timedelta(weeks=1), days=45)
    platform.add_feedback(Specialist.BUSINESS, 7 * A_DAY, end=newest, days=7, disagreement=1.0)
    platform.start_daemon()
    web = platform.start_web()

    partitions = [Partition(week, one) for one in (Specialist.TECHNICAL, Specialist.BUSINESS) for week in weeks]
    web.backfill(partitions)
    struck = kill_one_that_trains(platform)
    # It is started over once; the others run once.
    assert comes_true(lambda: platform.ended(len(partitions) + 1), within_s=400, every_s=2), platform.log
    ends = {run.run_id: run.status for run in platform.runs()}
    assert ends.pop(struck) is DagsterRunStatus.FAILURE
    assert list(ends.values()) == [DagsterRunStatus.SUCCESS] * len(partitions)
    assert platform.production_window(Specialist.TECHNICAL) == newest
    assert platform.production_window(Specialist.BUSINESS) == newest - timedelta(weeks=1)
    assert platform.registry(Specialist.TECHNICAL)[1] == platform.registry(Specialist.BUSINESS)[1] == []


def kill_one_that_trains(platform: Unattended) -> str:
    """SIGKILL for the process of the first run that has come to its training; the daemon lives on."""
    training: list[str] = []

    def one_trains() -> bool:
        training[:] = [run.run_id for run in platform.runs() if platform.has_started(run.run_id, "trained_model")]
        return bool(training)

    assert comes_true(one_trains, within_s=180, every_s=0.2), platform.log
    process = platform.process_of(training[0])
    assert process
    os.kill(process, signal.SIGKILL)
    return training[0]


@contextmanager
def promotion_under_way(platform: Unattended, specialist: Specialist) -> Iterator[None]:
    """Another one than Dagster's promotes this specialist, and does not come to an end."""
    log, fields = platform.database["model_audit_log"], {"kind": "promotion", "at": datetime.now(UTC)}
    with hold_intent(log, specialist.registered_model, fields, repair=lambda _: None, wait_s=5) as intent:
        yield
        intent.withdraw()


def has_ended(platform: Unattended, run_id: str) -> bool:
    """Whether a run is over: as failed or, where its process is quicker to say so than the daemon, as canceled."""
    run = platform.instance.get_run_by_id(run_id)
    assert run
    return run.is_finished


def at_a_time(records: list[RunRecord]) -> int:
    """How many of these runs worked at the same moment, at most."""
    moments = [(one.start_time, 1) for one in records] + [(one.end_time, -1) for one in records]
    working = most = 0
    for _, change in sorted(moments):
        working += change
        most = max(most, working)
    return most
