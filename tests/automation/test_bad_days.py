"""Services that fail and files that are damaged, in whole runs: the run's message, and that the next run succeeds."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient

from resources.storage import FrameIOManager
from tests.support.documents import WEEK, put, reviewed_opinions
from tests.support.platform import Platform, failed_step
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.servers import mlflow_server

pytestmark = pytest.mark.servers


@pytest.fixture
def learnable(platform: Platform) -> Platform:
    """A platform with feedback that a forest can learn from."""
    opinions, reviews = reviewed_opinions(400)
    put(platform.database, opinions=opinions, feedback=reviews)
    return platform


def open_runs(address: str) -> list[str]:
    """The ids of MLflow runs of `technical` that have not ended."""
    client = MlflowClient(address, address)
    experiment = client.get_experiment_by_name("technical-specialist")
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'") if experiment else []
    return [run.info.run_id for run in runs]


@pytest.mark.slow
def test_an_mlflow_outage_in_training_breaks_the_run_and_the_next_run_is_clean(learnable: Platform, tmp_path: Path):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    served = learnable.with_settings(mlflow_tracking_uri=address)
    searching = served.with_settings(hyperparameter_tuning=True, tuning_trials=500)
    with ExitStack() as server:
        server.enter_context(mlflow_server(tmp_path / "server", port=port))

        def stop_server_in_training() -> None:
            eventually(lambda: bool(open_runs(address)), within_s=300)
            server.close()

        stopping = threading.Thread(target=stop_server_in_training)
        stopping.start()
        broken = searching.retrain()
        stopping.join()
    assert not broken.success
    assert served.tags(broken)["nhm/outcome"] == "broken"
    step, message = failed_step(broken)
    assert step == "trained_model"
    assert address in message
    assert "cannot be reached" in message

    with mlflow_server(tmp_path / "server", port=port):
        again = served.retrain()
        assert served.tags(again)["nhm/outcome"] == "promoted"
        assert open_runs(address) == []
        versions = MlflowClient(address, address).search_model_versions("name='technical-evaluator'")
        assert [version.current_stage for version in versions] == ["Production"]


def test_a_damaged_dataset_is_named_with_the_remedy(learnable: Platform):
    learnable.retrain(only=["feedback_dataset"])
    path = FrameIOManager(learnable.settings.storage).file_of("feedback_dataset", "technical", WEEK)
    path.write_bytes(path.read_bytes()[:-100])
    result = learnable.retrain(only=["trained_model"])
    assert not result.success
    message = failed_step(result)[1]
    assert str(path) in message
    assert "materialize feedback_dataset" in message
    assert learnable.retrain().success


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 16 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if os.geteuid() != 0 or mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_breaks_the_run_and_leaves_no_partial_file(learnable: Platform, small_disk: Path):
    on_small_disk = learnable.with_settings(nhm_storage=str(small_disk))
    result = on_small_disk.retrain()
    assert not result.success
    step, message = failed_step(result)
    assert step == "feedback_dataset"
    assert "the disk is full" in message
    assert "NHM_STORAGE" in message
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


def test_no_secret_reaches_events_or_tags(platform: Platform):
    """The run names the server's address; the password in that address is nowhere."""
    secret = "s3cret-word"  # noqa: S105 - the test looks for it
    refused = platform.with_settings(
        mongodb_uri=f"mongodb://nhm:{secret}@127.0.0.1:9/?authSource=admin", mongodb_timeout_s=1
    )
    result = refused.retrain()
    assert not result.success
    recorded = "".join(map(str, refused.instance.all_logs(result.run_id))) + str(refused.tags(result))
    assert "mongodb://nhm:***@127.0.0.1:9" in recorded
    assert secret not in recorded


def test_storage_that_vanished_between_stages_is_named(learnable: Platform):
    learnable.retrain(only=["feedback_dataset"])
    shutil.rmtree(learnable.settings.nhm_home / "storage")
    result = learnable.retrain(only=["trained_model"])
    assert "does not exist: materialize feedback_dataset" in failed_step(result)[1]
