"""Runs as Jobs: by the production dagster.yaml, the real daemon and the accounts of the manifests."""

import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from nhm_assets.instance.run_pods import run_pod_config
from nhm_assets.names import JOB
from nhm_assets.outcomes import OUTCOME_TAG
from nhm_assets.partitions import Partition
from nhm_assets.settings import Settings
from tests.k8s.conftest import Retrainable
from tests.support.documents import WEEK
from tests.support.manifests import JOB_FILE, NO_OVERRIDE, PRODUCTION, find, rendered
from tests.support.processes import eventually

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, pytest.mark.timeout(900)]

DAGSTER = Path(sysconfig.get_path("scripts")) / "dagster"
MODULE = ("-m", "nhm_assets.definitions")
UNDISTURBED, KILLED, DELETED, BY_HAND = "technical", "business", "evolution", "behavior"
RUN_S = 200
"""A run starts a Python, trains and promotes; on busy cores that takes a while."""
LOST_RETRY_S = 240
"""On a busy machine Dagster now and then passes a retry over; our sensor makes up for it after two minutes."""


@dataclass
class Dagster:
    """An instance whose runs become Jobs, and the environment of its processes."""

    instance: DagsterInstance
    home: Path
    environment: dict[str, str]
    retrainable: Retrainable
    disturbed: dict[str, str] = field(default_factory=dict)
    """The pods that were killed or deleted, by specialist."""

    def launch(self, *specialists: str) -> None:
        """Put a run for each into the queue, as a button or a schedule would."""
        commands = [
            subprocess.Popen(
                [*NO_OVERRIDE, DAGSTER, "job", "launch", *MODULE, "-j", JOB, "--tags", partition_tags(specialist)],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for specialist in specialists
        ]
        for command in commands:
            said, _ = command.communicate()
            assert command.returncode == 0, said

    def runs(self, specialist: str) -> list[DagsterRun]:
        """The runs of a specialist, the oldest first."""
        found = self.instance.get_runs(RunsFilter(tags={"dagster/partition/specialist": specialist}))
        return found[::-1]

    def job_of(self, run: DagsterRun) -> dict[str, Any]:
        return self.retrainable.cluster.get("job", f"dagster-run-{run.run_id}", "-n", "mlflow")

    def pod_at_work(self, specialist: str) -> str | None:
        """Name of the pod of a specialist's first run; None before the run has started."""
        runs = self.runs(specialist)
        if not runs or runs[0].status is not DagsterRunStatus.STARTED:
            return None
        label = f"job-name=dagster-run-{runs[0].run_id}"
        return str(self.retrainable.cluster.get("pods", "-n", "mlflow", "-l", label)["items"][0]["metadata"]["name"])

    def wait_for(self, specialist: str, count: int) -> list[DagsterRun]:
        """The runs of a specialist when there are that many and all have ended."""
        ended = eventually(
            lambda: len(self.runs(specialist)) >= count and all(one.is_finished for one in self.runs(specialist)),
            within_s=RUN_S + (LOST_RETRY_S if count > 1 else 0),
        )
        assert ended, [(one.run_id, one.status) for one in self.runs(specialist)]
        return self.runs(specialist)

    def story(self, run: DagsterRun) -> str:
        return "\n".join(entry.user_message or entry.message for entry in self.instance.all_logs(run.run_id))


def partition_tags(specialist: str) -> str:
    """The tags by which Dagster knows the partition of a run."""
    dimensions = {"dagster/partition/specialist": specialist, "dagster/partition/week": WEEK}
    return json.dumps({"dagster/partition": str(Partition.parse(WEEK, specialist).key)} | dimensions)


@contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[None]:
    """The real `dagster-daemon`, with its code server."""
    command = [*NO_OVERRIDE, DAGSTER.with_name("dagster-daemon"), "run", *MODULE]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


@pytest.fixture(scope="module")
def dagster(retrainable: Retrainable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    """Dagster as the cluster's daemon sees it: its account, its settings, its dagster.yaml but for storage and pace."""
    folder = tmp_path_factory.mktemp("dagster")
    home = folder / "home"
    home.mkdir()
    manifests = rendered(PRODUCTION)
    config = yaml.safe_load(find(manifests, "ConfigMap", "nhm-dagster")["data"]["dagster.yaml"])
    config["storage"] = {"sqlite": {"base_dir": str(folder / "storage")}}
    config["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(retrainable.cluster.as_account("nhm-dagster", folder)),
        "job_image": "none",
    }
    config["run_monitoring"]["poll_interval_seconds"] = 2
    config["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    # In a pod it is a ConfigMap, which cannot be written to.
    home.chmod(0o555)
    settings = find(manifests, "ConfigMap", "nhm-settings")["data"] | retrainable.settings
    environment = (
        os.environ | settings | {"DAGSTER_HOME": str(home), "NHM_HOME": str(folder / "nhm"), "MAX_CONCURRENT_RUNS": "3"}
    )
    with DagsterInstance.from_config(str(home)) as instance, daemon(environment, folder / "daemon.log"):
        yield Dagster(instance, home, environment, retrainable)


@pytest.fixture(scope="module")
def ended(dagster: Dagster) -> Dagster:
    """Three runs at once: one undisturbed, one whose pod is killed for memory, one whose pod is deleted."""
    kubectl = dagster.retrainable.cluster.kubectl
    disturbances = {
        KILLED: lambda pod: kubectl(
            "annotate", "pod", pod, "-n", "mlflow", "nhm.test/kill=oom", "nhm.test/kill-after=0"
        ),
        DELETED: lambda pod: kubectl("delete", "pod", pod, "-n", "mlflow", "--wait=false", "--grace-period=1"),
    }
    dagster.launch(UNDISTURBED, KILLED, DELETED)

    def disturb() -> bool:
        for specialist in list(disturbances):
            if pod := dagster.pod_at_work(specialist):
                disturbances.pop(specialist)(pod)
                dagster.disturbed[specialist] = pod
        return not disturbances

    assert eventually(disturb, within_s=RUN_S)
    return dagster


def test_a_run_trains_and_promotes_as_a_job_with_its_own_account(ended: Dagster):
    (run,) = ended.wait_for(UNDISTURBED, 1)
    assert run.status is DagsterRunStatus.SUCCESS, ended.story(run)
    assert run.tags[OUTCOME_TAG] == "promoted"
    assert ended.retrainable.production_version(UNDISTURBED) == "1"
    pod = ended.job_of(run)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "nhm-run"


def test_the_job_of_a_run_carries_what_operators_and_nodes_go_by(ended: Dagster):
    (run,) = ended.wait_for(UNDISTURBED, 1)
    job = ended.job_of(run)
    labels = {"component": "specialist-retraining", "app": "neural-hive"}
    assert labels.items() <= job["metadata"]["labels"].items()
    assert labels.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (0, 86400)
    assert job["spec"]["activeDeadlineSeconds"] == 7200 + 900
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == run_pod_config(Settings(), UNDISTURBED)["container_config"]["resources"]


def test_a_job_killed_for_memory_is_retried_and_ends_well(ended: Dagster):
    first, second = ended.wait_for(KILLED, 2)
    assert first.status is DagsterRunStatus.FAILURE
    assert "OOMKilled" in ended.story(first)
    assert second.status is DagsterRunStatus.SUCCESS, ended.story(second)
    assert second.tags[OUTCOME_TAG] == "promoted"
    assert ended.retrainable.production_version(KILLED)


def test_a_run_whose_pod_is_deleted_is_retried_and_ends_well(ended: Dagster):
    first, second = ended.wait_for(DELETED, 2)
    assert first.status is DagsterRunStatus.FAILURE
    assert second.status is DagsterRunStatus.SUCCESS, ended.story(second)
    assert second.tags[OUTCOME_TAG] == "promoted"
    assert ended.retrainable.production_version(DELETED) == "1"
    pods = ended.retrainable.cluster.get("pods", "-n", "mlflow", "-l", "component=specialist-retraining")["items"]
    assert ended.disturbed[DELETED] not in {pod["metadata"]["name"] for pod in pods}


def test_a_retraining_by_hand_is_left_alone_by_the_daemon_beside_it(ended: Dagster):
    """The daemon watches it, though it has no Job of its own: taken for dead, it would be started a second time."""
    cluster = ended.retrainable.cluster
    job = yaml.safe_load(JOB_FILE.read_text())
    job["metadata"]["name"] = "beside-the-daemon"
    pod = job["spec"]["template"]["spec"]
    pod["containers"][0]["command"] += ["--specialist", BY_HAND, "--week", WEEK]
    (instance,) = [one for one in pod["volumes"] if one["name"] == "instance"]
    instance["configMap"]["name"] = "of-the-daemon"
    config = {"dagster.yaml": (ended.home / "dagster.yaml").read_text()}
    metadata = {"name": "of-the-daemon", "namespace": "mlflow"}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config}, job)
    (run,) = ended.wait_for(BY_HAND, 1)
    assert run.status is DagsterRunStatus.SUCCESS, ended.story(run)
    assert run.tags["nhm/pod"].startswith("mlflow/beside-the-daemon-")
    assert "Detected run worker status" not in ended.story(run)


def test_the_log_of_a_run_is_found_by_its_label(ended: Dagster):
    (run,) = ended.wait_for(UNDISTURBED, 1)
    log = ended.retrainable.cluster.kubectl(
        "logs", "-n", "mlflow", "-l", "component=specialist-retraining", "--tail=-1"
    )
    assert run.run_id in log


def test_the_daemon_gets_by_without_writing_into_the_instance_folder(ended: Dagster):
    ended.wait_for(UNDISTURBED, 1)
    assert [path.name for path in ended.home.iterdir()] == ["dagster.yaml"]
