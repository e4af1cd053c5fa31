"""MLflow runs: each logs only into itself, and ends by its outcome."""

import logging
import os
import shutil
import threading
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import mlflow
import pytest

from resources.errors import MlflowRefused, MlflowUnavailable
from resources.mlflow import Mlflow
from tests.support.mlflows import PASSWORD, USER, at, embedded, home, restored_environment
from tests.support.ports import free_port
from tests.support.servers import mlflow_server

__all__ = ["embedded", "home", "restored_environment"]


def run_of(server: Mlflow, *, specialist: str = "technical", **tags: str) -> AbstractContextManager[Any]:
    """A run as the training stage starts it."""
    tags = {"dagster_run_id": str(uuid.uuid4()), **tags}
    return server.run(experiment=f"{specialist}-specialist", name=f"{specialist}|2026-03-01", tags=tags)


def only_run(server: Mlflow, specialist: str = "technical") -> Any:
    with server.client() as client:
        (run,) = client.search_runs([server.experiment_id(f"{specialist}-specialist")])
        return run


def test_a_run_holds_what_was_logged_and_ends_as_finished(embedded: Mlflow):
    with run_of(embedded, **{"nhm.partition": "technical|2026-03-01"}) as bound:
        bound.log_params({"max_depth": 10})
        assert only_run(embedded).info.status == "RUNNING"
    run = only_run(embedded)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"max_depth": "10"}
    assert run.data.tags["nhm.partition"] == "technical|2026-03-01"
    assert run.data.tags["mlflow.runName"] == "technical|2026-03-01"
    assert len(run.data.tags["dagster_run_id"]) == 36
    assert mlflow.active_run() is None


@pytest.mark.servers
def test_a_server_whose_artifact_root_is_a_folder_of_each_client_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The model would lie on the disk of the trainer alone: registered, promoted, and loaded by nobody.

    /proc/self/cwd is another folder for each process, as a local folder is another one on each machine.
    """
    (tmp_path / "trainer").mkdir()
    monkeypatch.chdir(tmp_path / "trainer")
    with mlflow_server(tmp_path / "server", artifact_root="/proc/self/cwd/models") as address:
        server = Mlflow(uri=address, home=tmp_path, timeout_s=10)
        expected = r"--artifacts-destination.*--default-artifact-root"
        with pytest.raises(MlflowRefused, match=expected) as caught, run_of(server):
            pytest.fail("the body ran")
        assert "technical-specialist in the folder /proc/self/cwd/models" in str(caught.value)
        assert only_run(server).info.status == "FAILED"


@pytest.mark.servers
def test_a_folder_that_the_server_shares_with_us_is_accepted(tmp_path: Path):
    with mlflow_server(tmp_path / "server", artifact_root=str(tmp_path / "shared")) as address:
        server = Mlflow(uri=address, home=tmp_path, timeout_s=10)
        with run_of(server) as bound:
            bound.log_text("x", "file.txt")
        assert only_run(server).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (SystemExit(1), "KILLED")]
)
def test_a_run_ends_by_its_outcome(embedded: Mlflow, error: BaseException, status: str):
    with pytest.raises(type(error)), run_of(embedded):
        raise error
    assert only_run(embedded).info.status == status
    assert mlflow.active_run() is None


def test_each_run_is_a_new_one(embedded: Mlflow):
    for number in range(2):
        with run_of(embedded) as bound:
            bound.log_params({"number": number})
    with embedded.client() as client:
        runs = client.search_runs([embedded.experiment_id("technical-specialist")])
    assert sorted(run.data.params["number"] for run in runs) == ["0", "1"]


def test_more_parameters_than_one_request_takes_are_all_logged(embedded: Mlflow):
    parameters = {f"parameter_{number}": str(number) for number in range(101)}
    with run_of(embedded) as bound:
        bound.log_params(parameters)
    assert only_run(embedded).data.params == parameters


def test_partitions_at_the_same_time_in_one_process_log_into_their_own_runs(embedded: Mlflow):
    specialists = ["technical", "business", "behavior"]
    all_active = threading.Barrier(len(specialists), timeout=60)

    def train(specialist: str) -> None:
        with run_of(embedded, specialist=specialist) as bound:
            all_active.wait()
            bound.log_params({"specialist": specialist})
            all_active.wait()

    for specialist in specialists:
        embedded.experiment_id(f"{specialist}-specialist")
    with ThreadPoolExecutor(len(specialists)) as pool:
        list(pool.map(train, specialists))
    for specialist in specialists:
        run = only_run(embedded, specialist)
        assert (run.info.status, run.data.params) == ("FINISHED", {"specialist": specialist})


@pytest.mark.parametrize("same_mlflow", [True, False], ids=["in the same MLflow", "in another MLflow"])
def test_nothing_is_logged_into_a_run_that_was_left_active(
    embedded: Mlflow,
    tmp_path: Path,
    migrated_mlflow: Path,
    same_mlflow: bool,  # noqa: FBT001 - a parameter of the test
):
    elsewhere = Path(shutil.copytree(migrated_mlflow, tmp_path / "elsewhere"))
    with (embedded if same_mlflow else Mlflow(uri=None, home=elsewhere, timeout_s=10)).client() as client:
        mlflow.set_experiment("somebody-elses")
        stray = mlflow.start_run().info.run_id
    with run_of(embedded) as bound:
        bound.log_params({"max_depth": 10})
        assert bound.active_run().info.run_id != stray
    assert only_run(embedded).data.params == {"max_depth": "10"}
    assert only_run(embedded).info.status == "FINISHED"
    assert client.get_run(stray).data.params == {}
    assert "dagster_run_id" not in client.get_run(stray).data.tags


def test_a_run_that_the_environment_names_is_not_used(embedded: Mlflow):
    with run_of(embedded):
        pass
    first = only_run(embedded)
    os.environ["MLFLOW_RUN_ID"] = first.info.run_id
    with run_of(embedded) as bound:
        bound.log_params({"max_depth": 10})
        assert bound.active_run().info.run_id != first.info.run_id
    with embedded.client() as client:
        assert client.get_run(first.info.run_id).data.params == {}


def text_of(run: Any) -> str:
    return f"{run.data.tags} {run.data.params} {run.info.artifact_uri}"


@pytest.mark.servers
@pytest.mark.slow
def test_a_server_that_dies_during_a_run_is_unavailable_and_the_next_run_works_after_its_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with ExitStack() as first_life:
        server = at(first_life.enter_context(mlflow_server(tmp_path / "server", port=port)))

        def train() -> None:
            with run_of(server, attempt="1") as bound:
                bound.log_params({"max_depth": 10})
                first_life.close()
                bound.log_params({"min_samples_leaf": 2})
                pytest.fail("logged to a server that is dead")

        with pytest.raises(MlflowUnavailable, match="cannot be reached") as caught:
            train()
    assert f"{USER}:***@127.0.0.1:{port}" in str(caught.value)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert mlflow.active_run() is None

    with mlflow_server(tmp_path / "server", port=port):
        with run_of(server, attempt="2") as bound:
            bound.log_params({"max_depth": 10})
        with server.client() as client:
            runs = client.search_runs([server.experiment_id("technical-specialist")], order_by=["start_time"])
            assert PASSWORD not in client.tracking_uri
    assert [run.info.status for run in runs] == ["RUNNING", "FINISHED"]
    assert runs[1].data.params == {"max_depth": "10"}
    assert PASSWORD not in "".join(text_of(run) for run in runs) + caplog.text
