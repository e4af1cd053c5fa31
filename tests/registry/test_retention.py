"""The retention job: it deletes files of old Archived versions and old runs, and nothing else."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRun, DagsterRunStatus
from mlflow import MlflowClient

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB, RETENTION_JOB
from nhm_assets.registry.retention import delete_old_files
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG
from nhm_assets.runs.retention import delete_old_runs
from resources.mlflow import Mlflow
from tests.support.dagster_internals import ComputeIOType, freeze_time
from tests.support.documents import NOW, WEEK, put, reviewed_opinions
from tests.support.platform import QUIET, Platform, failed_step
from tests.support.reruns import FORCE, launch
from tests.support.servers import mlflow_server
from tests.support.versions import MODEL, SAVED, Versions, feature_signature, small_forest

DELETED_AT = NOW.isoformat(timespec="seconds")


@dataclass(frozen=True)
class FilledRegistry:
    """A registry whose versions have files, and its retention."""

    versions: Versions
    log: Any

    def add(self, stage: str = "Archived", *, alias: str | None = None, deleted: str | None = None) -> str:
        """Register a version with a file of its own."""
        folder = self.versions.folder / f"files-{len(list(self.versions.folder.iterdir()))}"
        folder.mkdir()
        (folder / "model.pkl").write_text("a forest")
        tags = {FILES_DELETED_TAG: deleted} if deleted else {}
        version = self.versions.add_folder(folder, tags={"kept": "yes", **tags}, stage=stage)
        if alias:
            self.versions.client.set_registered_model_alias(MODEL, alias, version)
        return version

    def delete_old_files(self, keep: int, now: datetime = NOW) -> list[str]:
        fields = {"specialist": "technical", "dagster_run_id": "run-a", "actor": "a person"}
        return delete_old_files(self.versions.client, self.log, MODEL, keep=keep, fields=fields, now=now, wait_s=5)

    def with_files(self, *versions: str) -> list[str]:
        return [version for version in versions if (self.versions.files(version) / "model.pkl").exists()]

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.versions.client.get_model_version(MODEL, version).tags)


@pytest.fixture
def filled(tmp_path: Path, migrated_mlflow: Path, database) -> Iterator[FilledRegistry]:
    shutil.copytree(migrated_mlflow, tmp_path / "mlflow")
    (tmp_path / "versions").mkdir()
    with Mlflow(uri=None, home=tmp_path / "mlflow", timeout_s=10).client() as client:
        log = database["model_audit_log"]
        yield FilledRegistry(Versions(client, tmp_path / "versions", log), log)


def test_archived_versions_beyond_the_newest_lose_their_files_and_keep_their_records(filled):
    versions = [filled.add() for _ in range(4)]
    assert filled.delete_old_files(keep=2) == ["2", "1"]
    assert filled.with_files(*versions) == ["3", "4"]
    for version in ("1", "2"):
        assert filled.tags(version) == {"kept": "yes", FILES_DELETED_TAG: DELETED_AT}
        assert filled.versions.client.get_model_version(MODEL, version).current_stage == "Archived"
    assert FILES_DELETED_TAG not in filled.tags("3")


def test_champion_candidates_and_versions_with_an_alias_keep_their_files_at_any_age(filled):
    kept = [
        filled.add("Production", alias="production"),
        filled.add("Staging"),
        filled.add("None"),
        filled.add(alias="previous"),
        filled.add(alias="a-persons-own"),
    ]
    gone, newest = filled.add(), filled.add()
    assert filled.delete_old_files(keep=1) == [gone]
    assert filled.with_files(*kept, gone, newest) == [*kept, newest]


def test_held_candidates_beyond_the_newest_lose_their_files_but_not_the_candidate(filled):
    """Most candidates are held. If all of them kept their files, the store would grow for ever."""
    candidate = filled.add("Staging", alias="candidate")
    held = [filled.add("Staging") for _ in range(60)]
    archived = filled.add()
    assert filled.delete_old_files(keep=20) == list(reversed(held[:40]))
    assert filled.with_files(candidate, *held, archived) == [candidate, *held[40:], archived]
    assert filled.tags(held[0])[FILES_DELETED_TAG] == DELETED_AT


def test_if_nothing_is_deleted_nothing_is_logged(filled):
    versions = [filled.add() for _ in range(3)]
    assert filled.delete_old_files(keep=3) == []
    assert filled.with_files(*versions) == versions
    assert filled.log.count_documents({}) == 0


def test_versions_are_ordered_by_number_and_not_as_text(filled):
    versions = [filled.add() for _ in range(11)]
    assert filled.delete_old_files(keep=2) == ["9", "8", "7", "6", "5", "4", "3", "2", "1"]
    assert filled.with_files(*versions) == ["10", "11"]


def test_a_second_time_deletes_nothing_and_changes_no_tag(filled):
    for _ in range(3):
        filled.add()
    filled.delete_old_files(keep=1)
    before, entries = [filled.tags(version) for version in ("1", "2", "3")], list(filled.log.find())
    assert filled.delete_old_files(keep=1, now=NOW + timedelta(days=1)) == []
    assert [filled.tags(version) for version in ("1", "2", "3")] == before
    assert list(filled.log.find()) == entries


def test_an_interrupted_deletion_is_finished(filled):
    begun = filled.add(deleted="begun")
    filled.add()
    assert filled.delete_old_files(keep=1) == [begun]
    assert filled.with_files(begun) == []
    assert filled.tags(begun)[FILES_DELETED_TAG] == DELETED_AT


def test_missing_files_are_not_an_error(filled):
    lost = filled.add()
    filled.add()
    shutil.rmtree(filled.versions.files(lost))
    assert filled.delete_old_files(keep=1) == [lost]
    assert filled.tags(lost)[FILES_DELETED_TAG] == DELETED_AT


@pytest.mark.parametrize(("stage", "of_copy"), [("Archived", "Production"), ("Production", "Archived")])
def test_files_that_a_version_and_its_copy_share_are_kept(filled, stage, of_copy):
    """A copy in MLflow points to the files of the original."""
    original = filled.add(stage)
    client = filled.versions.client
    copy = client.copy_model_version(f"models:/{MODEL}/{original}", MODEL)
    client.transition_model_version_stage(MODEL, copy.version, of_copy)
    gone, _ = filled.add(), filled.add()
    assert filled.delete_old_files(keep=1) == [gone]
    assert filled.with_files(original) == [original]


def test_the_audit_log_records_a_deletion_with_its_versions_and_reason(filled):
    for _ in range(3):
        filled.add()
    filled.delete_old_files(keep=1)
    (entry,) = filled.log.find()
    assert (entry["kind"], entry["state"], entry["model"]) == ("files_deleted", "done", MODEL)
    assert entry["versions"] == ["2", "1"]
    assert entry["reason"] == "beyond the newest 1 versions in stage Archived or Staging"
    assert (entry["actor"], entry["dagster_run_id"], entry["at"]) == ("a person", "run-a", NOW)


def test_a_model_that_does_not_exist_yet_is_not_an_error(filled):
    assert filled.delete_old_files(keep=1) == []


@pytest.fixture(params=["SQLite", "a server"])
def stored(request: pytest.FixtureRequest, tmp_path: Path, migrated_mlflow: Path) -> Iterator[tuple[Mlflow, Path]]:
    """MLflow, and the folder of its artifacts."""
    home = tmp_path / "nhm"
    if request.param == "SQLite":
        shutil.copytree(migrated_mlflow, home)
        yield Mlflow(uri=None, home=home, timeout_s=10), home / "artifacts"
        return
    with mlflow_server(tmp_path / "server") as address:
        yield Mlflow(uri=address, home=home, timeout_s=10), tmp_path / "server" / "artifacts"


def logged_version(mlflow: Mlflow, client: MlflowClient) -> str:
    """A version whose files are in the artifact store of MLflow, as after a training."""
    import mlflow as library

    named = {"name" if library.__version__.startswith("3.") else "artifact_path": "model"}
    with library.start_run(experiment_id=mlflow.experiment_id("technical-specialist")):
        options = SAVED | {"signature": feature_signature()}
        logged = library.sklearn.log_model(small_forest(), **named, **options)
    version = str(library.register_model(logged.model_uri, MODEL).version)
    client.transition_model_version_stage(MODEL, version, "Archived")
    return version


@pytest.mark.servers
def test_files_are_deleted_from_every_artifact_store_and_the_kept_ones_load(stored, database):
    import mlflow as library

    mlflow, artifacts = stored
    with mlflow.client() as client:
        old, new = (logged_version(mlflow, client) for _ in range(2))
        assert len(list(artifacts.rglob("model.pkl"))) == 2
        deleted = delete_old_files(client, database["log"], MODEL, keep=1, fields={}, now=NOW, wait_s=5)
        assert deleted == [old]
        assert len(list(artifacts.rglob("model.pkl"))) == 1
        assert library.pyfunc.load_model(f"models:/{MODEL}/{new}") is not None
        assert client.get_model_version(MODEL, old).tags[FILES_DELETED_TAG] == DELETED_AT
        assert delete_old_files(client, database["log"], MODEL, keep=1, fields={}, now=NOW, wait_s=5) == []


def run_retention_job(platform: Platform) -> dict[str, Any]:
    job = build_definitions(platform.settings).resolve_job_def(RETENTION_JOB)
    result = job.execute_in_process(instance=platform.instance, raise_on_error=False, run_config=QUIET)
    assert result.success
    return dict(result.output_for_node("delete_expired"))


@pytest.mark.servers
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
