"""Storage in the artifact store of a real MLflow server."""

from collections.abc import Iterator

import pandas as pd
import pytest
from pydantic import ValidationError

from nhm_assets.settings import Settings
from resources.addresses import artifacts_address, web_address
from resources.backups import Backups
from resources.errors import StorageError, StorageUnavailable
from resources.mlflow_artifacts import MlflowPath
from resources.storage import FrameIOManager, RecordIOManager
from resources.storage_location import check_storage
from tests.support.documents import WEEK
from tests.support.ports import free_port
from tests.support.servers import mlflow_server
from tests.support.storing import NOTE, Note, fetch, frame, keep

KEPT = ("kept", "technical", WEEK)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def storage(server: str, request: pytest.FixtureRequest) -> str:
    """A folder of the test's own."""
    return artifacts_address(f"mlflow-artifacts:/nhm/{request.node.name}", server)


@pytest.mark.servers
def test_frames_and_records_come_back_from_the_server(storage: str):
    keep(FrameIOManager(storage), frame(), "technical")
    keep(RecordIOManager(storage), NOTE, "business")
    loaded = fetch(FrameIOManager(storage), pd.DataFrame, "technical")
    pd.testing.assert_frame_equal(loaded, frame(), check_exact=True)
    assert loaded.attrs == frame().attrs
    assert fetch(RecordIOManager(storage), Note, "business") == NOTE
    assert str(FrameIOManager(storage).file_of(*KEPT)).startswith(f"{storage}/kept/technical/{WEEK}/")


@pytest.mark.servers
def test_materializing_again_points_to_another_file_and_keeps_the_first(storage: str):
    records = RecordIOManager(storage)
    keep(records, NOTE)
    keep(records, Note(text="again", score=1))
    assert fetch(records, Note).text == "again"
    files = records.files_of(*KEPT)
    assert len(files) == 2
    assert files[0] == records.file_of(*KEPT)


@pytest.mark.servers
def test_a_missing_file_is_an_error_that_says_what_to_materialize(storage: str):
    assert RecordIOManager(storage).files_of(*KEPT) == []
    with pytest.raises(StorageError, match="does not exist: materialize kept for this partition first"):
        fetch(RecordIOManager(storage), Note)


@pytest.mark.servers
def test_a_writable_store_passes_the_check_which_leaves_nothing_behind(storage: str):
    check_storage(storage)
    with pytest.raises(FileNotFoundError):
        list(MlflowPath(storage).iterdir())


@pytest.mark.servers
def test_a_file_is_written_when_it_is_closed_and_only_as_a_whole(storage: str):
    whole, half = MlflowPath(storage) / "whole", MlflowPath(storage) / "half"
    file = whole.open("wb")
    file.write(b"content")
    assert not whole.exists()
    file.close()
    file.close()
    assert whole.read_bytes() == b"content"
    with pytest.raises(ZeroDivisionError), half.open("wb") as file:
        file.write(b"con" * (1 // 0))
    assert not half.exists()


@pytest.mark.servers
def test_a_server_that_is_away_passes_by_itself(server: str):
    away = artifacts_address("mlflow-artifacts:/nhm", f"http://127.0.0.1:{free_port()}")
    for use in (lambda: check_storage(away), lambda: fetch(RecordIOManager(away), Note)):
        with pytest.raises(StorageUnavailable, match="NHM_STORAGE"):
            use()


def test_a_server_that_is_away_is_not_taken_for_an_empty_folder(storage: str):
    """Otherwise no back-up is listed, and no dataset is said to hold a feedback."""
    away = artifacts_address("mlflow-artifacts:/nhm", f"http://127.0.0.1:{free_port()}")
    for list_files in (
        Backups(away).all,
        lambda: RecordIOManager(away).partitions_of("kept"),
        lambda: RecordIOManager(away).files_of(*KEPT),
    ):
        with pytest.raises(StorageUnavailable, match="its store is away or too busy"):
            list_files()
    assert (Backups(storage).all(), RecordIOManager(storage).partitions_of("kept")) == ([], [])


def test_the_setting_names_a_folder_on_the_server_of_mlflow():
    settings = Settings(nhm_storage="mlflow-artifacts:/nhm", mlflow_tracking_uri="https://mlflow.example/base/")
    assert settings.storage == "mlflows://mlflow.example/base/api/2.0/mlflow-artifacts/artifacts/nhm"
    assert web_address(settings.storage) == settings.storage.replace("mlflows://", "https://")
    assert web_address("s3://bucket/nhm") == "s3://bucket/nhm"


@pytest.mark.parametrize(
    ("storage", "uri", "reason"),
    [
        ("mlflow-artifacts:/nhm", None, "set MLFLOW_TRACKING_URI to its http"),
        ("mlflow-artifacts:/nhm", "sqlite:///mlflow.db", "set MLFLOW_TRACKING_URI to its http"),
        ("mlflow-artifacts:/nhm", "http://user:word@mlflow:5000", "MLFLOW_TRACKING_PASSWORD"),
        ("mlflow-artifacts:/", "http://mlflow:5000", "must name a folder"),
        ("mlflow-artifacts:/1", "http://mlflow:5000", "must name a folder"),
    ],
)
def test_a_setting_without_a_place_is_refused_and_shows_no_password(storage: str, uri: str | None, reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        artifacts_address(storage, uri)
    assert not isinstance(caught.value, ValidationError)
    assert "word" not in str(caught.value).replace("PASSWORD", "").replace("password", "")
