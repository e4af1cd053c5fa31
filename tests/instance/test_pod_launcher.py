"""Whether the pod of a run lives: told from an API server that is away, and from a run in the pod of another Job."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import WorkerStatus

from nhm_assets.domain.dagster_names import JOB
from tests.support.ports import free_port
from tests.support.web import Answers, website

POD = "train-specialist-models-x7k2p"
BY_HAND = {"nhm/process": f"{POD}:7", "nhm/pod": f"mlflow/{POD}"}
"""Tags of a run that `nhm retrain` executes in the pod of a Job."""
POD_PATH = f"/api/v1/namespaces/mlflow/pods/{POD}"
GONE = (404, json.dumps({"kind": "Status", "code": 404, "message": "not found"}))
FORBIDDEN = (403, json.dumps({"kind": "Status", "code": 403, "message": "forbidden"}))
BUSY = (500, json.dumps({"kind": "Status", "code": 500, "message": "etcdserver: leader changed"}))


@contextmanager
def instance(folder: Path, address: str) -> Iterator[DagsterInstance]:
    """An instance whose runs are Jobs of the API server there."""
    kubeconfig = folder / "kubeconfig"
    access = {
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    kubeconfig.write_text(yaml.safe_dump(access))
    config = {
        "load_incluster_config": False,
        "kubeconfig_file": str(kubeconfig),
        "service_account_name": "nhm-run",
        "instance_config_map": "nhm-dagster",
        "dagster_home": "/opt/dagster/dagster_home",
        "job_namespace": "mlflow",
        "job_image": "nhm-assets",
    }
    launcher = {"module": "nhm_assets.instance.pod_launcher", "class": "RunPodLauncher", "config": config}
    overrides = {"run_launcher": launcher, "telemetry": {"enabled": False}}
    with DagsterInstance.local_temp(str(folder), overrides=overrides) as found:
        yield found


@pytest.fixture
def health(tmp_path: Path) -> Iterator[Callable[..., tuple[WorkerStatus, str]]]:
    """What is said of a started run with these tags, where the API server answers so; None: where it is away."""

    def judged(tags: dict[str, str], answers: Answers | None) -> tuple[WorkerStatus, str]:
        if answers is None:
            return asked(tags, f"http://127.0.0.1:{free_port()}")
        with website(answers, otherwise=GONE) as site:
            return asked(tags, site.address)

    def asked(tags: dict[str, str], address: str) -> tuple[WorkerStatus, str]:
        with instance(tmp_path, address) as there:
            run = there.add_run(DagsterRun(job_name=JOB, status=DagsterRunStatus.STARTED, tags=tags))
            found = there.run_launcher.check_run_worker_health(run)
            return found.status, found.msg or ""

    return judged


def test_a_run_whose_job_is_gone_is_dead(health):
    status, says = health({}, {})
    assert status is WorkerStatus.UNKNOWN
    assert "could not be found" in says


def test_a_run_is_not_taken_for_dead_while_the_api_server_is_away(health):
    """A control plane that restarts would else have every run started a second time beside the first."""
    status, says = health({}, None)
    assert status is WorkerStatus.RUNNING
    assert "cannot be seen now" in says


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_run_by_hand_lives_as_long_as_its_pod(health, phase: str):
    """Dagster itself would look for a Job of the run's own, which was never there, and fail the run at work."""
    status, _ = health(BY_HAND, {POD_PATH: (200, json.dumps({"status": {"phase": phase}}))})
    assert status is WorkerStatus.RUNNING


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (GONE, f"pod {POD} of namespace mlflow is gone"),
        ((200, '{"status": {"phase": "Failed"}}'), f"pod {POD} of namespace mlflow has ended (Failed)"),
        ((200, '{"status": {"phase": "Succeeded"}}'), f"pod {POD} of namespace mlflow has ended (Succeeded)"),
    ],
)
def test_a_run_by_hand_whose_pod_has_ended_is_dead(health, answer: tuple[int, str], says: str):
    assert health(BY_HAND, {POD_PATH: answer}) == (WorkerStatus.FAILED, says)


@pytest.mark.parametrize("answers", [None, {POD_PATH: FORBIDDEN}, {POD_PATH: BUSY}], ids=["away", "forbidden", "busy"])
def test_a_run_by_hand_whose_pod_cannot_be_seen_is_left_to_the_time_limit(health, answers: Answers | None):
    status, says = health(BY_HAND, answers)
    assert status is WorkerStatus.RUNNING
    assert "cannot be seen now" in says


def test_a_run_on_somebodys_own_machine_is_left_to_the_time_limit(health):
    assert health({"nhm/process": "laptop:7"}, {})[0] is WorkerStatus.RUNNING
