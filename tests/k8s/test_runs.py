"""Runs as Jobs, with the production dagster.yaml, the real daemon and the accounts of the manifests."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from dagster import DagsterRunStatus

from nhm_assets.domain.outcomes import OUTCOME_TAG
from nhm_assets.instance.run_pods import run_pod_config
from nhm_assets.settings import Settings
from tests.k8s.conftest import Retrainable
from tests.support.documents import WEEK
from tests.support.manifests import JOB_FILE
from tests.support.processes import eventually
from tests.support.run_jobs import RUN_S, Dagster, dagster_in_cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

UNDISTURBED, KILLED, DELETED, BY_HAND = "technical", "business", "evolution", "behavior"


@pytest.fixture(scope="module")
def dagster(retrainable: Retrainable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    with dagster_in_cluster(retrainable, tmp_path_factory.mktemp("dagster")) as dagster:
        yield dagster


@pytest.fixture(scope="module")
def ended(dagster: Dagster) -> Dagster:
    """Three runs at the same time: nothing happens to one, the pod of one runs out of memory, one pod is deleted."""
    kubectl = dagster.retrainable.cluster.kubectl
    disturbances = {
        KILLED: lambda pod: kubectl(
            "annotate", "pod", pod, "-n", "mlflow", "nhm.test/kill=oom", "nhm.test/kill-after=0"
        ),
        DELETED: lambda pod: kubectl("delete", "pod", pod, "-n", "mlflow", "--wait=false", "--grace-period=1"),
    }

    def disturb() -> bool:
        for specialist in list(disturbances):
            if pod := dagster.pod_at_work(specialist):
                disturbances.pop(specialist)(pod)
                dagster.disturbed[specialist] = pod
        return not disturbances

    with ThreadPoolExecutor(1) as thread:
        # On a busy machine a run can have ended before the commands that launch the three have.
        launched = thread.submit(dagster.launch, UNDISTURBED, KILLED, DELETED)
        assert eventually(disturb, within_s=RUN_S)
        launched.result()
    return dagster


def test_a_run_trains_and_promotes_as_a_job_with_its_own_account(ended: Dagster):
    (run,) = ended.wait_for(UNDISTURBED, 1)
    assert run.status is DagsterRunStatus.SUCCESS, ended.story(run)
    assert run.tags[OUTCOME_TAG] == "promoted"
    assert ended.retrainable.production_version(UNDISTURBED) == "1"
    pod = ended.job_of(run)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "nhm-run"


def test_the_job_of_a_run_has_the_labels_limits_and_resources_of_the_settings(ended: Dagster):
    (run,) = ended.wait_for(UNDISTURBED, 1)
    job = ended.job_of(run)
    labels = {"component": "specialist-retraining", "app": "neural-hive"}
    assert labels.items() <= job["metadata"]["labels"].items()
    assert labels.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (0, 259200)
    assert job["spec"]["activeDeadlineSeconds"] == 14400 + 900
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == run_pod_config(Settings(), UNDISTURBED)["container_config"]["resources"]


def test_a_run_whose_pod_runs_out_of_memory_is_retried_and_promotes(ended: Dagster):
    first, second = ended.wait_for(KILLED, 2)
    assert first.status is DagsterRunStatus.FAILURE
    assert "OOMKilled" in ended.story(first)
    assert second.status is DagsterRunStatus.SUCCESS, ended.story(second)
    assert second.tags[OUTCOME_TAG] == "promoted"
    assert ended.retrainable.production_version(KILLED)


def test_a_run_whose_pod_is_deleted_is_retried_and_promotes(ended: Dagster):
    first, second = ended.wait_for(DELETED, 2)
    assert first.status is DagsterRunStatus.FAILURE
    assert second.status is DagsterRunStatus.SUCCESS, ended.story(second)
    assert second.tags[OUTCOME_TAG] == "promoted"
    assert ended.retrainable.production_version(DELETED) == "1"
    pods = ended.retrainable.cluster.get("pods", "-n", "mlflow", "-l", "component=specialist-retraining")["items"]
    assert ended.disturbed[DELETED] not in {pod["metadata"]["name"] for pod in pods}


def test_the_daemon_leaves_a_retraining_by_hand_alone(ended: Dagster):
    """The run has no Job of its own. If the daemon took it for dead, it would start it a second time."""
    cluster = ended.retrainable.cluster
    job = yaml.safe_load(JOB_FILE.read_text())
    job["metadata"]["name"] = "beside-the-daemon"
    pod = job["spec"]["template"]["spec"]
    pod["containers"][0]["command"] += ["--specialist", BY_HAND, "--week", WEEK]
    (instance,) = [volume for volume in pod["volumes"] if volume["name"] == "instance"]
    instance["configMap"]["name"] = "of-the-daemon"
    config = {"dagster.yaml": (ended.home / "dagster.yaml").read_text()}
    metadata = {"name": "of-the-daemon", "namespace": "mlflow"}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config}, job)
    (run,) = ended.wait_for(BY_HAND, 1)
    assert run.status is DagsterRunStatus.SUCCESS, ended.story(run)
    assert run.tags[".dagster/nhm_pod"].startswith("mlflow/beside-the-daemon-")
    assert "Detected run worker status" not in ended.story(run)


def test_the_label_finds_the_log_of_a_run(ended: Dagster):
    (run,) = ended.wait_for(UNDISTURBED, 1)
    log = ended.retrainable.cluster.kubectl(
        "logs", "-n", "mlflow", "-l", "component=specialist-retraining", "--tail=-1"
    )
    assert run.run_id in log


def test_the_daemon_writes_nothing_into_the_instance_folder(ended: Dagster):
    ended.wait_for(UNDISTURBED, 1)
    assert [path.name for path in ended.home.iterdir()] == ["dagster.yaml"]
