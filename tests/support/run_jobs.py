"""Dagster with the configuration of the cluster, where runs become Jobs."""

import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from tests.support.documents import WEEK
from tests.support.manifests import NO_OVERRIDE, PRODUCTION, find, rendered
from tests.support.processes import eventually

if TYPE_CHECKING:
    from tests.k8s.conftest import Retrainable

DAGSTER = Path(sysconfig.get_path("scripts")) / "dagster"
MODULE = ("-m", "nhm_assets.definitions")
RUN_S = 600
"""A run starts a Python process, trains and promotes. On busy cores that takes a while."""
LOST_RETRY_S = 240
"""On a busy machine Dagster sometimes skips a retry. Our sensor starts it after two minutes."""


@dataclass
class Dagster:
    """A Dagster instance whose runs become Jobs, and the environment of its processes."""

    instance: DagsterInstance
    home: Path
    environment: dict[str, str]
    retrainable: "Retrainable"
    disturbed: dict[str, str] = field(default_factory=dict)
    """Names of the pods that were killed or deleted, by specialist."""

    def launch(self, *specialists: str) -> None:
        """Put one run per specialist into the queue, as the UI or a schedule does."""
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
            output, _ = command.communicate()
            assert command.returncode == 0, output

    def runs(self, specialist: str) -> list[DagsterRun]:
        """The runs of a specialist, oldest first."""
        return self.instance.get_runs(RunsFilter(tags={"dagster/partition/specialist": specialist}))[::-1]

    def job_of(self, run: DagsterRun) -> dict[str, Any]:
        return self.retrainable.cluster.get("job", f"dagster-run-{run.run_id}", "-n", "mlflow")

    def pod_at_work(self, specialist: str) -> str | None:
        """Name of the pod of a specialist's first run; None if the run has not started."""
        runs = self.runs(specialist)
        if not runs or runs[0].status is not DagsterRunStatus.STARTED:
            return None
        label = f"job-name=dagster-run-{runs[0].run_id}"
        return str(self.retrainable.cluster.get("pods", "-n", "mlflow", "-l", label)["items"][0]["metadata"]["name"])

    def wait_for(self, specialist: str, count: int, *, within_s: float = RUN_S) -> list[DagsterRun]:
        """Wait until a specialist has this many runs and all have ended, and give them."""
        ended = eventually(
            lambda: len(self.runs(specialist)) >= count and all(run.is_finished for run in self.runs(specialist)),
            within_s=within_s + (LOST_RETRY_S if count > 1 else 0),
        )
        assert ended, [(run.run_id, run.status) for run in self.runs(specialist)]
        return self.runs(specialist)

    def story(self, run: DagsterRun) -> str:
        return "\n".join(entry.user_message or entry.message for entry in self.instance.all_logs(run.run_id))


def partition_tags(specialist: str) -> str:
    """The tags that tell Dagster the partition of a run."""
    dimensions = {"dagster/partition/specialist": specialist, "dagster/partition/week": WEEK}
    return json.dumps({"dagster/partition": str(Partition.parse(WEEK, specialist).key)} | dimensions)


@contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[None]:
    """The real `dagster-daemon` with its code server."""
    command = [*NO_OVERRIDE, DAGSTER.with_name("dagster-daemon"), "run", *MODULE]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
        assert process.poll() is None, log.read_text()[-3000:]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


@contextmanager
def dagster_in_cluster(retrainable: "Retrainable", folder: Path, **settings: str) -> Iterator[Dagster]:
    """Dagster with the daemon's account and settings and the cluster's dagster.yaml; storage and intervals differ."""
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
    # In a pod this folder is a ConfigMap, which is read-only.
    home.chmod(0o555)
    variables = find(manifests, "ConfigMap", "nhm-settings")["data"] | retrainable.settings | settings
    environment = (
        os.environ
        | variables
        | {"DAGSTER_HOME": str(home), "NHM_HOME": str(folder / "nhm"), "MAX_CONCURRENT_RUNS": "3"}
        | {"POD_NAMESPACE": "mlflow"}
    )
    with DagsterInstance.from_config(str(home)) as instance, daemon(environment, folder / "daemon.log"):
        yield Dagster(instance, home, environment, retrainable)
