"""The Kubernetes manifests as `kubectl` renders them, and a way to put them on the older server of the tests."""

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

K8S = ROOT / "k8s"
PRODUCTION = K8S / "overlays" / "production"
JOB_FILE = K8S / "jobs" / "train-specialist-models-job.yaml"
OVERLAYS = sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml"))

Manifest = dict[str, Any]

NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override", "--") if os.geteuid() == 0 else ()
"""Put before a command: to a process without this right a read-only folder is read-only, even where it is root's."""

_OLDER = {
    ("batch/v1", "CronJob"): "batch/v1beta1",
    ("policy/v1", "PodDisruptionBudget"): "policy/v1beta1",
}
"""What the tests' server (1.20) serves under an older name only."""


def rendered(folder: Path) -> list[Manifest]:
    """What `kubectl apply -k` would send; the test is skipped where there is no `kubectl`."""
    if shutil.which("kubectl") is None:
        pytest.skip("`kubectl` is not installed")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def with_component(folder: Path, name: str) -> list[Manifest]:
    """The production overlay with one component more."""
    overlay = folder / "overlays" / "mine"
    shutil.copytree(PRODUCTION.parents[1], folder, dirs_exist_ok=True)
    overlay.mkdir()
    mine = {"resources": ["../production"], "components": [f"../../components/{name}"]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    return rendered(overlay)


def documents(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def find(manifests: list[Manifest], kind: str, name: str, namespace: str = "mlflow") -> Manifest:
    """The one object of that kind and name."""
    matching = [
        one
        for one in manifests
        if one["kind"] == kind and one["metadata"]["name"] == name and one["metadata"].get("namespace") == namespace
    ]
    assert len(matching) == 1, f"{len(matching)} of {kind}/{name} in {namespace}"
    return matching[0]


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pod template of every workload, by kind and name."""
    for one in manifests:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{one['kind']}/{one['metadata']['name']}", spec["template"]


def containers(template: Manifest) -> list[Manifest]:
    """All containers of a pod: those that prepare the work and those that do it."""
    pod = template["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def for_old_server(manifest: Manifest) -> Manifest:
    """The same object in the words of Kubernetes 1.20: older API versions, and no gRPC probes yet."""
    adapted = copy.deepcopy(manifest)
    adapted["apiVersion"] = _OLDER.get((adapted["apiVersion"], adapted["kind"]), adapted["apiVersion"])
    for _, template in pod_templates([adapted]):
        for container in template["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if "grpc" in container.get(probe, {}):
                    port = container[probe].pop("grpc")["port"]
                    container[probe]["tcpSocket"] = {"port": port}
    return adapted


def as_list(manifests: list[Manifest]) -> str:
    """One document for `kubectl apply -f -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
