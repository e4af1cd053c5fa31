"""Retention in the registry: files of old versions are deleted, their records are kept."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from nhm_assets.registry.retention import delete_old_files
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, INCREMENT_OF_TAG
from resources.mlflow import Mlflow
from tests.support.documents import NOW
from tests.support.servers import mlflow_server
from tests.support.versions import MODEL, SAVED, Versions, feature_signature, small_forest

DELETED_AT = NOW.isoformat(timespec="seconds")


@dataclass(frozen=True)
class FilledRegistry:
    """A registry whose versions have files, and its retention."""

    versions: Versions
    log: Any

    def add(
        self, stage: str = "Archived", *, alias: str | None = None, deleted: str | None = None, of: str | None = None
    ) -> str:
        """Register a version with a file of its own."""
        folder = self.versions.folder / f"files-{len(list(self.versions.folder.iterdir()))}"
        folder.mkdir()
        (folder / "model.pkl").write_text("a forest")
        tags = {FILES_DELETED_TAG: deleted} if deleted else {}
        tags |= {INCREMENT_OF_TAG: of} if of else {}
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


def test_the_version_that_the_next_increment_corrects_keeps_its_files(filled):
    frozen, of_the_past = filled.add(), filled.add()
    filled.add(of=of_the_past)
    filled.add("Production", of=frozen)
    newest = filled.add()
    assert filled.delete_old_files(keep=1) == ["3", of_the_past]
    assert filled.with_files(frozen, newest) == [frozen, newest]


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
