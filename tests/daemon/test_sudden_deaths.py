"""Every process is killed by SIGKILL while each specialist is at a different step of its retraining."""

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
from nhm_assets.domain.specialists import FIVE, Specialist
from nhm_assets.registry.promotion_lock import hold_lock
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_in_production
from tests.daemon.conftest import ON_SQLITE_LESS_OFTEN, NewPlatform
from tests.support.daemon import DaemonPlatform, becomes_true

SETTINGS = {
    "min_real_samples": 300,
    "min_test_rows": 40,
    "max_concurrent_runs": 3,
    # More than the feedback that is in the running week's window from the beginning.
    "retraining_feedback_threshold": 450,
}
KILLED = ("business", "behavior", "evolution")
"""The specialists with a run whose process is killed. The other two have none yet: one is queued, one is claimed."""


@ON_SQLITE_LESS_OFTEN
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_after_every_process_is_killed_each_specialist_is_retrained_once_and_completely(new_platform: NewPlatform):
    platform = new_platform(start_timeout_s=90, **SETTINGS)
    now = datetime.now(UTC)
    closed = {specialist: Partition(last_closed_week(now), specialist) for specialist in FIVE}
    for partition in closed.values():
        platform.add_feedback(partition.specialist, 600, end=partition.week_end, days=45)
    daemon, webserver = platform.start_daemon(), platform.start_webserver()

    with delayed_promotion(platform, Specialist("evolution")) as freeze_in_promotion:
        promoting = webserver.launch(closed[Specialist("evolution")])
        assert becomes_true(lambda: platform.has_started(promoting, "promoted_version")), platform.log
        with FileLock(platform.settings.nhm_home / "mlflow" / "migration.lock"):
            training = webserver.launch(closed[Specialist("behavior")])
            assert becomes_true(lambda: platform.has_started(training, "trained_model")), platform.log
            freeze_in_promotion(promoting)
            starting = webserver.launch(closed[Specialist("business")])
            freeze_before_it_starts(platform, starting)
            queued = webserver.launch(closed[Specialist("architecture")])
            platform.add_feedback(Specialist("technical"), 300, end=datetime.now(UTC), days=10 / 86400, seed=2)
            assert becomes_true(lambda: claims(platform).find_one(), every_s=0.005), platform.log
            platform.kill(daemon)
    # The runs are as they were when their processes were killed, and the claimed retraining has none yet. On a busy
    # machine it may have one: then the kill came too late for what is seen of claims here.
    others = [name for name in FIVE if name != "technical"]
    assert {run.run_id: run.status for run in platform.runs(*others)} == {
        promoting: DagsterRunStatus.STARTED,
        training: DagsterRunStatus.STARTED,
        starting: DagsterRunStatus.STARTING,
        queued: DagsterRunStatus.QUEUED,
    }
    assert [intent["dagster_run_id"] for intent in open_intents(platform)] == [promoting]

    # Let the claim expire now instead of after two minutes.
    claims(platform).update_one({}, [{"$set": {"claimed_until": "$$NOW"}}])
    platform.start_daemon()
    due = {str(partition.key) for partition in closed.values() if partition.specialist != "technical"}
    due.add(f"technical|{running_week(now)}")
    assert becomes_true(lambda: promoted(platform) == due), platform.log
    assert all(run.is_finished for run in platform.runs())
    for name in FIVE:
        check_retries(platform, name)
    assert open_intents(platform) == []
    assert {name: faults(platform, name) for name in FIVE} == {name: [] for name in FIVE}
    assert {name: versions(platform, name) for name in FIVE} == dict.fromkeys(FIVE, 1)


def check_retries(platform: DaemonPlatform, specialist: Specialist) -> None:
    """The last run succeeded. Each one before it failed, and the run after it is its only retry.

    On a busy machine a retry may itself take longer to start than it is given, and is retried then.
    """
    runs = platform.runs(specialist)
    *lost, last = runs
    assert last.status is DagsterRunStatus.SUCCESS, platform.log
    assert all(run.status is DagsterRunStatus.FAILURE for run in lost), platform.log
    assert [run.parent_run_id for run in runs] == [None, *(run.run_id for run in lost)], platform.log
    assert len(lost) >= (specialist in KILLED), platform.log


@contextmanager
def delayed_promotion(platform: DaemonPlatform, specialist: Specialist) -> Iterator[Any]:
    """Makes promotions of a specialist wait. Yields a function that lets the promotion of a run begin, then freezes it.

    The promotion is frozen when its intent is recorded, and the registry has not made the first transition.
    """
    log, model = platform.database["model_audit_log"], specialist.registered_model
    held = hold_lock(log, model, {"kind": "promotion"}, recover=lambda _: None, wait_s=5)
    intent = held.__enter__()

    def freeze_in_promotion(run_id: str) -> None:
        registry = sqlite3.connect(platform.settings.nhm_home / "mlflow" / "mlflow.db")
        registry.execute("BEGIN IMMEDIATE")
        intent.discard()
        recorded = {"model": model, "state": "open", "dagster_run_id": run_id, "transitions": {"$exists": True}}
        assert becomes_true(lambda: log.find_one(recorded), every_s=0.01), platform.log
        freeze(platform, run_id)
        registry.close()

    try:
        yield freeze_in_promotion
    finally:
        held.__exit__(None, None, None)


def freeze_before_it_starts(platform: DaemonPlatform, run_id: str) -> None:
    """Stop the process of a launched run while it is still loading the code."""
    assert becomes_true(lambda: platform.process_of(run_id), every_s=0.05), platform.log
    # Its launcher waits until the process reports that it is alive.
    time.sleep(0.2)
    freeze(platform, run_id)


def freeze(platform: DaemonPlatform, run_id: str) -> None:
    """Stop the process of a run; it stays alive and does nothing."""
    process = platform.process_of(run_id)
    assert process
    os.kill(process, signal.SIGSTOP)


def claims(platform: DaemonPlatform) -> Collection[dict[str, Any]]:
    return platform.database["retraining_triggers"]


def open_intents(platform: DaemonPlatform) -> list[dict[str, Any]]:
    return list(platform.database["model_audit_log"].find({"state": "open"}))


def promoted(platform: DaemonPlatform) -> set[str]:
    """The partitions that have a run which promoted its candidate."""
    succeeded = [run for run in platform.runs() if run.status is DagsterRunStatus.SUCCESS]
    return {run.tags["dagster/partition"] for run in succeeded if run.tags.get("nhm/outcome") == "promoted"}


def faults(platform: DaemonPlatform, specialist: Specialist) -> list[str]:
    """The faults of the version in Production; a missing version is a fault too."""
    with platform.mlflow.client() as client:
        version = version_in_production(client, specialist.registered_model)
        if version is None:
            return ["no version is in Production"]
        return registry_faults(client, specialist.registered_model, str(version.version))


def versions(platform: DaemonPlatform, specialist: Specialist) -> int:
    with platform.mlflow.client() as client:
        return len(client.search_model_versions(f"name='{specialist.registered_model}'"))
