"""The Kubernetes manifests as `kubectl` renders them, their validation, and their form for the tests' older server."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

K8S = ROOT / "k8s"
PRODUCTION = K8S / "overlays" / "production"
STANDALONE = K8S / "overlays" / "standalone"
OWN_SERVICES = K8S / "overlays" / "own-services"
MODELS = K8S / "volumes" / "mlflow-artifacts.yaml"
PRIORITY = K8S / "cluster" / "run-priority.yaml"
JOB_FILE = K8S / "jobs" / "train-specialist-models-job.yaml"
KIND = K8S / "overlays" / "kind"
OVERLAYS = sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml") if path.parent != KIND)
"""Those to work with. KIND is `standalone` with everything else that the platform needs, to try it."""

Manifest = dict[str, Any]

NO_OVERRIDE = ("setpriv", "--bounding-set=-dac_override", "--") if os.geteuid() == 0 else ()
"""Put before a command. Without this right, even root cannot write into a read-only folder."""


def rendered(folder: Path) -> list[Manifest]:
    """The manifests that `kubectl apply -k` would send. Skips the test if `kubectl` is not installed."""
    if shutil.which("kubectl") is None:
        pytest.skip("`kubectl` is not installed")
    text = _of_the_repository(folder) if folder.is_relative_to(K8S) else _kustomized(folder)
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def _kustomized(folder: Path) -> str:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _of_the_repository(folder: Path) -> str:
    """No test changes these folders, and many ask for them."""
    return _kustomized(folder)


def with_component(folder: Path, name: str, overlay: Path = PRODUCTION) -> list[Manifest]:
    """The manifests of an overlay with one more component."""
    copy = folder / "overlays" / "mine"
    shutil.copytree(PRODUCTION.parents[1], folder, dirs_exist_ok=True)
    copy.mkdir()
    mine = {"resources": [f"../{overlay.name}"], "components": [f"../../components/{name}"]}
    (copy / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    return rendered(copy)


def for_environment(folder: Path, overlay: Path, name: str, *literals: str) -> list[Manifest]:
    """A copy of an overlay as one of several environments: its own namespaces, and settings as `NAME=value`."""
    shutil.copytree(K8S, folder / "k8s")
    file = folder / "k8s" / "overlays" / overlay.name / "kustomization.yaml"
    settings = "".join(f"      - {one}\n" for one in (f"SPECIALIST_NAMESPACE={name}-specialists", *literals))
    text = file.read_text().replace("      - SPECIALIST_NAMESPACE=semantic-translation\n", settings)
    file.write_text(text.replace("#   namespace: hive\n", f"namespace: {name}\n"))
    return rendered(file.parent)


def documents(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def find(manifests: list[Manifest], kind: str, name: str, namespace: str = "mlflow") -> Manifest:
    """The only object of this kind and name."""
    expected = (kind, name, namespace)
    matching = [
        manifest
        for manifest in manifests
        if (manifest["kind"], manifest["metadata"]["name"], manifest["metadata"].get("namespace")) == expected
    ]
    assert len(matching) == 1, f"{len(matching)} manifests are {kind}/{name} in namespace {namespace}, expected 1"
    return matching[0]


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The pod template of every workload, by kind and name."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield f"{manifest['kind']}/{manifest['metadata']['name']}", spec["template"]


def containers(template: Manifest) -> list[Manifest]:
    """All containers of a pod, the init containers first."""
    pod = template["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


def schema_versions() -> list[str]:
    """Versions of Kubernetes whose schemas the manifests must fit: 1.31 to 1.34 are supported, and the newest one."""
    from kubernetes_validate.utils import all_versions

    newest = max(all_versions(), key=lambda version: [int(part) for part in version.split(".")])
    return ["1.31.0", "1.34.0", newest]


def validate(manifests: list[Manifest], version: str) -> None:
    """Check manifests against the published schemas of a version of Kubernetes; unknown fields are errors."""
    import kubernetes_validate

    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def as_list(manifests: list[Manifest]) -> str:
    """All manifests as one document, for `kubectl apply -f -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
