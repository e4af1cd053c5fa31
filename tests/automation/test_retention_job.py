"""The retention job: it deletes files of old Archived versions and old runs, and nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB, RETENTION_JOB
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG
from nhm_assets.runs.retention import delete_old_runs
from tests.support.dagster_internals import ComputeIOType, freeze_time
from tests.support.documents import WEEK, put, reviewed_opinions
from tests.support.platform import QUIET, Platform, failed_step
from tests.support.reruns import FORCE, launch
from tests.support.versions import MODEL


def run_retention_job(platform: Platform) -> dict[str, Any]:
    job = build_definitions(platform.settings).resolve_job_def(RETENTION_JOB)
    result = job.execute_in_process(instance=platform.instance, raise_on_error=False, run_config=QUIET)
    assert result.success
    return dict(result.output_for_node("delete_expired"))


@pytest.mark.servers
@pytest.mark.slow
def test_a_version_without_files_is_not_reused_for_the_same_data(platform: Platform):
    opinions, reviews = reviewed_opinions(400)
    put(platform.database, opinions=opinions, feedback=reviews)
    up_to_training = ["feedback_dataset", "trained_model"]
    launch(platform, only=up_to_training)
    launch(platform, only=up_to_training, config=FORCE)
    with platform.mlflow.client() as client:
        for version in ("1", "2"):
            client.transition_model_version_stage(MODEL, version, "Archived")
        client.delete_registered_model_alias(MODEL, "candidate")
    assert launch(platform, only=up_to_training).asset_value("trained_model").version == "2"
    deleted = run_retention_job(platform.with_settings(keep_versions=1))
    assert deleted["versions"] == {MODEL: ["1"]} | {
        f"{specialist}-evaluator": [] for specialist in ("business", "behavior", "evolution", "architecture")
    }
    entry = platform.database["model_audit_log"].find_one({"kind": "files_deleted"})
    assert (entry["specialist"], entry["versions"]) == ("technical", ["1"])
    with platform.mlflow.client() as client:
        client.set_model_version_tag(MODEL, "2", FILES_DELETED_TAG, "begun")
    assert launch(platform, only=up_to_training).asset_value("trained_model").version == "3"


def add_run(instance: DagsterInstance, number: int, status: DagsterRunStatus = DagsterRunStatus.SUCCESS) -> str:
    run_id = f"00000000-0000-4000-8000-{number:012}"
    instance.add_run(DagsterRun(job_name=JOB, run_id=run_id, status=status))
    return run_id


SOON = timedelta(minutes=1)


def test_only_ended_old_runs_are_deleted(platform: Platform):
    instance = platform.instance
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
    going_on = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
    runs = {add_run(instance, number, status): status for number, status in enumerate([*ended, *going_on])}
    now = datetime.now(UTC)
    assert delete_old_runs(instance, before=now - SOON) == 0
    assert delete_old_runs(instance, before=now + SOON) == len(ended)
    assert {run.run_id for run in instance.get_runs()} == {
        run_id for run_id, status in runs.items() if status in going_on
    }
    assert delete_old_runs(instance, before=now + SOON) == 0


def test_the_output_and_the_logs_of_a_deleted_run_are_deleted_too(platform: Platform):
    instance = platform.instance
    old, young = add_run(instance, 1), add_run(instance, 2, DagsterRunStatus.STARTED)
    for run_id in (old, young):
        instance.report_engine_event("it began", instance.get_run_by_id(run_id))
        with instance.compute_log_manager.open_log_stream(
            [run_id, "compute_logs", "step"], ComputeIOType.STDERR
        ) as log:
            log.write("a line")
    delete_old_runs(instance, before=datetime.now(UTC) + SOON)
    kept = [path.relative_to(instance.root_directory) for path in Path(instance.root_directory).rglob("*")]
    assert [path for path in kept if old in str(path)] == []
    assert len([path for path in kept if young in str(path)]) > 2


def test_a_model_whose_lock_is_taken_is_named_and_does_not_stop_the_rest(platform: Platform):
    lasting = {"state": "open", "lease_until": datetime.now(UTC) + timedelta(days=9), "dagster_run_id": "another"}
    platform.database["model_audit_log"].insert_one({"_id": "theirs", "model": MODEL, "kind": "promotion", **lasting})
    with freeze_time(datetime.now(UTC) - timedelta(days=2)):
        old = add_run(platform.instance, 1)
    result = (
        build_definitions(platform.with_settings(promotion_wait_s=0.1, keep_runs_days=1).settings)
        .resolve_job_def(RETENTION_JOB)
        .execute_in_process(instance=platform.instance, raise_on_error=False, run_config=QUIET)
    )
    assert f"another promotion of {MODEL}" in failed_step(result)[1]
    assert platform.instance.get_run_by_id(old) is None


@pytest.mark.servers
def test_the_runs_of_the_newest_datasets_are_kept_for_the_sensor(platform: Platform):
    for specialist in ("technical", "business"):
        opinions, reviews = reviewed_opinions(400, specialist=specialist)
        put(platform.database, opinions=opinions, feedback=reviews)
    weeks = [("technical", WEEK), ("technical", "2026-02-22"), ("business", "2026-02-22"), ("technical", WEEK)]
    runs = [launch(platform, *partition, only=["feedback_dataset"]).run_id for partition in weeks]
    assert delete_old_runs(platform.instance, before=datetime.now(UTC) + SOON) == 2
    assert {run.run_id for run in platform.instance.get_runs()} == {runs[2], runs[3]}
    dataset = AssetKey("feedback_dataset")
    assert platform.instance.get_materialized_partitions(dataset) >= {f"technical|{WEEK}", "business|2026-02-22"}


def test_the_job_keeps_runs_for_the_configured_days(platform: Platform):
    """The age follows Dagster's clock: NHM_NOW does not make a run older."""
    add_run(platform.instance, 1)
    far_ahead = platform.with_settings(nhm_now=datetime.now(UTC) + timedelta(days=1000), keep_runs_days=1)
    assert run_retention_job(far_ahead)["runs"] == 0
    assert len(platform.instance.get_runs()) == 2
