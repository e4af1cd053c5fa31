"""SIGKILL for everything that runs, with each specialist at another point of its way."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import DagsterRunStatus
from filelock import FileLock
from pymongo.collection import Collection

from nhm_assets.domain.partitions import Partition, last_closed_week, running_week
from nhm_assets.domain.specialists import SPECIALISTS, Specialist
from nhm_assets.registry.promotion_lock import hold_intent
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_in_production
from tests.daemon.conftest import NewPlatform
from tests.support.daemon import Unattended, comes_true

SETTINGS = {
    "min_real_samples": 300,
    "min_test_rows": 40,
    "max_concurrent_runs": 3,
    # More than the feedback that lies in the running week's window from the beginning.
    "retraining_feedback_threshold": 400,
}
RUNS_IT_TAKES = {"technical": 1, "business": 2, "behavior": 2, "evolution": 2, "architecture": 1}
"""One, and another one where the process of the first was killed."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_whatever_they_were_doing_when_struck_all_specialists_are_retrained_once_and_whole(new_platform: NewPlatform):
    platform = new_platform(start_timeout_s=60, **SETTINGS)
    now = datetime.now(UTC)
    closed = {one: Partition(last_closed_week(now), one) for one in Specialist}
    for partition in closed.values():
        platform.add_feedback(partition.specialist, 600, end=partition.week_end, days=45)
    daemon, web = platform.start_daemon(), platform.start_web()

    with promotion_held_back(platform, Specialist.EVOLUTION) as let_it_begin:
        promoting = web.launch(closed[Specialist.EVOLUTION])
        assert comes_true(lambda: platform.has_started(promoting, "promoted_version"), within_s=120), platform.log
        with FileLock(platform.settings.nhm_home / "mlflow" / "migration.lock"):
            training = web.launch(closed[Specialist.BEHAVIOR])
            assert comes_true(lambda: platform.has_started(training, "trained_model"), within_s=120), platform.log
            let_it_begin(promoting)
            starting = web.launch(closed[Specialist.BUSINESS])
            freeze_before_it_starts(platform, starting)
            queued = web.launch(closed[Specialist.ARCHITECTURE])
            platform.add_feedback(Specialist.TECHNICAL, 300, end=datetime.now(UTC), days=10 / 86400, seed=2)
            assert comes_true(lambda: claims(platform).find_one(), within_s=90, every_s=0.005), platform.log
            platform.kill(daemon)
    # The one that was claimed has no run, and the others are where they were struck.
    assert {run.run_id: run.status for run in platform.runs()} == {
        promoting: DagsterRunStatus.STARTED,
        training: DagsterRunStatus.STARTED,
        starting: DagsterRunStatus.STARTING,
        queued: DagsterRunStatus.QUEUED,
    }
    assert [one["dagster_run_id"] for one in open_intents(platform)] == [promoting]

    # The claim's two minutes are over.
    claims(platform).update_one({}, [{"$set": {"claimed_until": "$$NOW"}}])
    platform.start_daemon()
    due = {str(one.key) for one in closed.values() if one.specialist != "technical"}
    due.add(f"technical|{running_week(now)}")
    assert comes_true(lambda: promoted(platform) == due, within_s=600), platform.log
    assert all(run.is_finished for run in platform.runs())
    assert {one: len(platform.runs(one)) for one in SPECIALISTS} == RUNS_IT_TAKES
    assert open_intents(platform) == []
    assert {one: faults(platform, one) for one in Specialist} == {one: [] for one in Specialist}
    assert {one: versions(platform, one) for one in Specialist} == dict.fromkeys(Specialist, 1)


@contextmanager
def promotion_held_back(platform: Unattended, specialist: Specialist) -> Iterator[Any]:
    """Promotions of a specialist wait, until the function that this gives lets one begin and freezes it in the middle.

    The middle: it has written down what it is about to do, and waits for the registry to take the first move.
    """
    log, model = platform.database["model_audit_log"], specialist.registered_model
    held = hold_intent(log, model, {"kind": "promotion"}, repair=lambda _: None, wait_s=5)
    intent = held.__enter__()

    def let_it_begin(run_id: str) -> None:
        registry = sqlite3.connect(platform.settings.nhm_home / "mlflow" / "mlflow.db")
        registry.execute("BEGIN IMMEDIATE")
        intent.withdraw()
        decided = {"model": model, "state": "open", "dagster_run_id": run_id, "transitions": {"$exists": True}}
        assert comes_true(lambda: log.find_one(decided), within_s=15, every_s=0.01), platform.log
        freeze(platform, run_id)
        registry.close()

    try:
        yield let_it_begin
    finally:
        held.__exit__(None, None, None)


def freeze_before_it_starts(platform: Unattended, run_id: str) -> None:
    """Stop the process of a run that has been launched, while it is still loading the code."""
    assert comes_true(lambda: platform.process_of(run_id), within_s=60, every_s=0.05), platform.log
    # Its launcher waits to hear that it lives.
    time.sleep(0.2)
    freeze(platform, run_id)


def freeze(platform: Unattended, run_id: str) -> None:
    process = platform.process_of(run_id)
    assert process
    os.kill(process, signal.SIGSTOP)


def claims(platform: Unattended) -> Collection[dict[str, Any]]:
    return platform.database["retraining_triggers"]


def open_intents(platform: Unattended) -> list[dict[str, Any]]:
    return list(platform.database["model_audit_log"].find({"state": "open"}))


def promoted(platform: Unattended) -> set[str]:
    """The partitions with a run that has promoted its candidate."""
    ended = [run for run in platform.runs() if run.status is DagsterRunStatus.SUCCESS]
    return {run.tags["dagster/partition"] for run in ended if run.tags.get("nhm/outcome") == "promoted"}


def faults(platform: Unattended, specialist: Specialist) -> list[str]:
    """What is wrong with the version in Production, and with there being none."""
    with platform.mlflow.client() as client:
        version = version_in_production(client, specialist.registered_model)
        if version is None:
            return ["none is in Production"]
        return registry_faults(client, specialist.registered_model, str(version.version))


def versions(platform: Unattended, specialist: Specialist) -> int:
    with platform.mlflow.client() as client:
        return len(client.search_model_versions(f"name='{specialist.registered_model}'"))
