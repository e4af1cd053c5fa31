"""Whether the pod of a run is alive, also if the API server does not answer or the run is in the pod of another Job."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterRun, DagsterRunStatus

from nhm_assets.domain.dagster_names import JOB
from tests.support.dagster_internals import WorkerStatus
from tests.support.pod_instance import instance_with_pods
from tests.support.ports import free_port
from tests.support.web import Answers, website

POD = "train-specialist-models-x7k2p"
RUN_BY_COMMAND = {".dagster/nhm_process": f"{POD}:7", ".dagster/nhm_pod": f"mlflow/{POD}"}
"""Tags of a run that `nhm retrain` executes in the pod of a Job."""
POD_PATH = f"/api/v1/namespaces/mlflow/pods/{POD}"
GONE = (404, json.dumps({"kind": "Status", "code": 404, "message": "not found"}))
FORBIDDEN = (403, json.dumps({"kind": "Status", "code": 403, "message": "forbidden"}))
BUSY = (500, json.dumps({"kind": "Status", "code": 500, "message": "etcdserver: leader changed"}))


@pytest.fixture
def health(tmp_path: Path) -> Iterator[Callable[..., tuple[WorkerStatus, str]]]:
    """Status and message for a started run with these tags. Answers None: there is no API server."""

    def health_of(tags: dict[str, str], answers: Answers | None) -> tuple[WorkerStatus, str]:
        if answers is None:
            return check(tags, f"http://127.0.0.1:{free_port()}")
        with website(answers, otherwise=GONE) as site:
            return check(tags, site.address)

    def check(tags: dict[str, str], address: str) -> tuple[WorkerStatus, str]:
        with instance_with_pods(tmp_path, address) as dagster:
            run = dagster.add_run(DagsterRun(job_name=JOB, status=DagsterRunStatus.STARTED, tags=tags))
            result = dagster.run_launcher.check_run_worker_health(run)
            return result.status, result.msg or ""

    return health_of


def test_a_run_whose_job_is_gone_is_dead(health):
    status, message = health({}, {})
    assert status is WorkerStatus.UNKNOWN
    assert "could not be found" in message


def test_a_run_does_not_count_as_dead_while_the_api_server_does_not_answer(health):
    """Otherwise a restart of the control plane would start every run a second time."""
    status, message = health({}, None)
    assert status is WorkerStatus.RUNNING
    assert "cannot be checked now" in message


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_run_by_a_command_is_alive_as_long_as_its_pod(health, phase: str):
    """Dagster alone would look for a Job of the run, which never existed, and fail the healthy run."""
    status, _ = health(RUN_BY_COMMAND, {POD_PATH: (200, json.dumps({"status": {"phase": phase}}))})
    assert status is WorkerStatus.RUNNING


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (GONE, f"pod {POD} in namespace mlflow is gone"),
        ((200, '{"status": {"phase": "Failed"}}'), f"pod {POD} in namespace mlflow has ended (Failed)"),
        ((200, '{"status": {"phase": "Succeeded"}}'), f"pod {POD} in namespace mlflow has ended (Succeeded)"),
    ],
)
def test_a_run_by_a_command_whose_pod_has_ended_is_dead(health, answer: tuple[int, str], message: str):
    assert health(RUN_BY_COMMAND, {POD_PATH: answer}) == (WorkerStatus.FAILED, message)


@pytest.mark.parametrize("answers", [None, {POD_PATH: FORBIDDEN}, {POD_PATH: BUSY}], ids=["away", "forbidden", "busy"])
def test_a_run_by_a_command_whose_pod_cannot_be_checked_counts_as_alive(health, answers: Answers | None):
    status, message = health(RUN_BY_COMMAND, answers)
    assert status is WorkerStatus.RUNNING
    assert "cannot be checked now" in message


def test_a_run_on_another_machine_counts_as_alive(health):
    assert health({".dagster/nhm_process": "laptop:7"}, {})[0] is WorkerStatus.RUNNING
