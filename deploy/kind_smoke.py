"""`make kind-smoke`: the life of an installation on a throw-away cluster, step by step, with kind and Docker.

Create, apply, check, one run, one restart, one drain, delete. It stops at the first step that fails, says which one it
is, and leaves the cluster for you to look at.

With --dry-node, the steps are run against the control plane that KUBECONFIG names, which has no nodes with containers:
nothing is built, created or loaded. MongoDB and MLflow are started on this machine, see dry_node.py; with --manifests,
that file is applied instead, and everything that it needs must be there.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
OVERLAY: Final = ROOT / "k8s" / "overlays" / "kind"
JOB_FILE: Final = ROOT / "k8s" / "jobs" / "train-specialist-models-job.yaml"
VOLUME: Final = ROOT / "k8s" / "volumes" / "mlflow-artifacts.yaml"
NAME: Final = "nhm"
IMAGE: Final = "nhm-assets:0.1.0"
OURS: Final = "app.kubernetes.io/part-of=nhm-assets"
PLATFORM, SPECIALISTS = "mlflow", "semantic-translation"
_ROLLOUT_S: Final = 600
_JOB_S: Final = 1800


class SmokeFailed(Exception):
    """A step did not do what it should."""


@dataclass(frozen=True)
class Smoke:
    """One life of an installation.

    Attributes:
        manifests: a file that is applied instead of the overlay; None on kind.
        mongodb_uri: the address of MongoDB; None if a file is applied for which everything is prepared.
    """

    manifests: Path | None = None
    mongodb_uri: str | None = "mongodb://mongodb:27017"

    def steps(self) -> dict[str, Callable[[], None]]:
        """What is done, in order."""
        prepared = {} if self.mongodb_uri is None else {"prepare": self.prepare}
        inner = {
            **prepared,
            "apply": self.apply,
            "check": self.check,
            "run": self.run,
            "restart": self.restart,
            "drain": self.drain,
            "delete": self.delete,
        }
        if self.manifests:
            return inner
        return {"create": self.create, **inner, "destroy": self.destroy}

    def create(self) -> None:
        """Build the image, and create a cluster that has it."""
        _call("docker", "build", "--quiet", "-t", IMAGE, ROOT)
        _call("kind", "create", "cluster", "--name", NAME, "--config", ROOT / "deploy" / "kind_cluster.yaml")
        _call("kind", "load", "docker-image", IMAGE, "--name", NAME)

    def prepare(self) -> None:
        """Namespaces, Secrets and the volume of the models."""
        for namespace in (PLATFORM, SPECIALISTS):
            _kubectl("create", "namespace", namespace)
        _secret("mongodb-secret", "uri", str(self.mongodb_uri))
        for name in ("dagster-postgresql-secret", "mlflow-postgresql-secret"):
            _secret(name, "postgresql-password", secrets.token_hex(24))
        _kubectl("apply", "-n", PLATFORM, "-f", VOLUME)
        _kubectl("label", "namespace", PLATFORM, "pod-security.kubernetes.io/enforce=restricted")

    def apply(self) -> None:
        """Everything becomes ready."""
        _kubectl("apply", *self._source)
        self._wait_until_ready()

    def check(self) -> None:
        """The cluster's own answer, from a pod with the account of a run."""
        self._job("nhm-cluster-check", "nhm", "cluster", "check")

    def run(self) -> None:
        """Feedback comes in, and one specialist is retrained and restarted."""
        self._job("nhm-seed", "nhm", "seed")
        self._job("nhm-retrain", "nhm", "retrain", "--specialist", "technical")
        found = _json("get", "deployment", "specialist-technical", "-n", self._specialists)
        notes = found["spec"]["template"]["metadata"].get("annotations") or {}
        if "kubectl.kubernetes.io/restartedAt" not in notes:
            raise SmokeFailed("specialist-technical was not restarted: the candidate was not promoted (see the log)")

    def restart(self) -> None:
        """All Deployments, as after a change of settings."""
        _kubectl("rollout", "restart", "deployment", "-n", PLATFORM, "-l", OURS)
        self._wait_until_ready()

    def drain(self) -> None:
        """The node of the daemon is drained of the platform's pods, and no disruption budget prevents it."""
        (pod, *_) = _json("get", "pods", "-n", PLATFORM, "-l", "component=daemon")["items"]
        node = pod["spec"]["nodeName"]
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", f"--pod-selector={OURS}")
        try:
            _kubectl("drain", node, *options, f"--timeout={_ROLLOUT_S}s")
        finally:
            _kubectl("uncordon", node)
        # Volumes of kind stay on their node, so pods that have one there come back only now.
        self._wait_until_ready()

    def delete(self) -> None:
        """The platform goes, its data stays."""
        before = self._volumes()
        _kubectl("delete", "--timeout=300s", *self._source)
        left = _json("get", "deployments,statefulsets", "-n", PLATFORM, "-l", OURS)["items"]
        if left:
            raise SmokeFailed(f"still there: {[one['metadata']['name'] for one in left]}")
        if not before or self._volumes() != before:
            raise SmokeFailed(f"volumes before the deletion: {sorted(before)}, after it: {sorted(self._volumes())}")

    def destroy(self) -> None:
        """Delete the cluster."""
        _call("kind", "delete", "cluster", "--name", NAME)

    @property
    def _source(self) -> tuple[object, ...]:
        return ("-f", self.manifests) if self.manifests else ("-k", OVERLAY)

    @property
    def _specialists(self) -> str:
        settings = _json("get", "configmap", "nhm-settings", "-n", PLATFORM)
        return str(settings["data"]["SPECIALIST_NAMESPACE"])

    def _volumes(self) -> set[str]:
        return {one["metadata"]["name"] for one in _json("get", "pvc", "-n", PLATFORM)["items"]}

    def _wait_until_ready(self) -> None:
        for one in _json("get", "deployments,statefulsets", "-n", PLATFORM, "-l", OURS)["items"]:
            workload = f"{one['kind'].lower()}/{one['metadata']['name']}"
            _kubectl("rollout", "status", "-n", PLATFORM, workload, f"--timeout={_ROLLOUT_S}s")

    def _job(self, name: str, *command: str) -> None:
        """The Job for retraining by hand with another command. Its log is printed."""
        job = json.loads(_kubectl("create", "--dry-run=client", "-o", "json", "-f", JOB_FILE))
        job["metadata"]["name"] = name
        job["spec"]["template"]["spec"]["containers"][0]["command"] = list(command)
        _kubectl("apply", "-f", "-", send=json.dumps(job))
        ended = self._end_of(name)
        print(_kubectl("logs", "-n", PLATFORM, f"job/{name}", "--tail=40"), flush=True)
        if ended != "Complete":
            raise SmokeFailed(f"Job {name} ended as {ended}: {' '.join(command)}")
        _kubectl("delete", "job", "-n", PLATFORM, name)

    def _end_of(self, job: str) -> str:
        """Complete or Failed. `kubectl wait` waits for one of them only, so it is asked for both in turn."""
        for _ in range(_JOB_S // 10):
            waiting = ["kubectl", "wait", "--for=condition=complete", "--timeout=10s", "-n", PLATFORM, f"job/{job}"]
            if subprocess.run(waiting, capture_output=True, check=False).returncode == 0:  # noqa: S603
                return "Complete"
            conditions = _json("get", "job", job, "-n", PLATFORM)["status"].get("conditions", ())
            if ends := [one["type"] for one in conditions if one["type"] in ("Complete", "Failed")]:
                return str(ends[0])
        return f"nothing within {_JOB_S} s"


def _secret(name: str, key: str, value: str) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}
    _kubectl("apply", "-n", PLATFORM, "-f", "-", send=json.dumps(body))


def _kubectl(*arguments: object, send: str | None = None) -> str:
    return _call("kubectl", *arguments, send=send)


def _json(*arguments: object) -> Any:
    return json.loads(_kubectl(*arguments, "-o", "json"))


def _call(*command: object, send: str | None = None) -> str:
    words = [str(word) for word in command]
    # The words are those of this file and names that the cluster gave.
    done = subprocess.run(words, input=send, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SmokeFailed(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Run the steps; returns the exit code."""
    parser = argparse.ArgumentParser(prog="kind_smoke", description=__doc__)
    parser.add_argument("--dry-node", action="store_true", help="run the steps against the control plane of KUBECONFIG")
    parser.add_argument("--manifests", type=Path, help="with --dry-node: what to apply")
    options = parser.parse_args(arguments)
    if options.manifests and not options.dry_node:
        parser.error("--manifests needs --dry-node")
    if not options.dry_node:
        return _go_through(Smoke())
    if options.manifests:
        return _go_through(Smoke(options.manifests, mongodb_uri=None))
    from deploy.dry_node import dry_platform

    with tempfile.TemporaryDirectory() as folder, dry_platform(Path(folder), OVERLAY) as dry:
        return _go_through(Smoke(dry.manifests, dry.mongodb_uri))


def _go_through(smoke: Smoke) -> int:
    for name, step in smoke.steps().items():
        print(f"== {name}: {step.__doc__}", flush=True)
        started = time.monotonic()
        try:
            step()
        except SmokeFailed as failure:
            print(f"== {name} FAILED: {failure}", flush=True)
            return 1
        print(f"{name} took {time.monotonic() - started:.0f} s", flush=True)
    print("== done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
