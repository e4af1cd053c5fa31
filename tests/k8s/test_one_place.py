"""Each name has one place in an overlay: both namespaces, the cluster's domain, the image."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.manifests import K8S, KIND, OVERLAYS, Manifest, containers, find, pod_templates, rendered

PLATFORM, SPECIALISTS, DOMAIN = "hive", "elsewhere", "k8s.example.org"
IMAGE = "registry.example/nhm:9.9.9"
COMPONENTS = ("mlflow-read-only", "monitoring", "s3-storage", "status-by-api-server", "step-jobs")
OLD = (
    "semantic-translation",
    "cluster.local",
    "nhm-assets:",
    "image: nhm-assets",
    "namespace: mlflow\n",
    ".mlflow.svc",
)
"""What the names are in the repository, as they appear in rendered manifests."""


def kustomization(overlay: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((overlay / "kustomization.yaml").read_text()))


def with_other_names(overlay: Path) -> dict[str, Any]:
    """The file of an overlay with each name changed once, and with every component that can be added."""
    mine = kustomization(overlay)
    mine["namespace"] = PLATFORM
    mine["components"] = [*mine.get("components", []), *(f"../../components/{name}" for name in COMPONENTS)]
    (settings,) = [one for one in mine["configMapGenerator"] if one["name"] == "nhm-settings"]
    others = [
        one for one in settings["literals"] if not one.startswith(("SPECIALIST_NAMESPACE", "MLFLOW_TRACKING_URI"))
    ]
    uri = f"http://mlflow.{PLATFORM}.svc.{DOMAIN}:5000"
    settings["literals"] = [*others, f"SPECIALIST_NAMESPACE={SPECIALISTS}", f"MLFLOW_TRACKING_URI={uri}"]
    (image,) = [one for one in mine["images"] if one["name"] == "nhm-assets"]
    image["newName"], image["newTag"] = IMAGE.split(":")
    return mine


@pytest.fixture(scope="module", params=OVERLAYS, ids=lambda path: path.name)
def renamed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    folder = tmp_path_factory.mktemp("renamed") / "k8s"
    shutil.copytree(K8S, folder)
    overlay = folder / "overlays" / request.param.name
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(with_other_names(request.param)))
    return rendered(overlay)


def test_no_old_name_is_left(renamed: list[Manifest]):
    text = yaml.safe_dump_all(renamed, width=10_000)
    assert {old: re.findall(f".*{re.escape(old)}.*", text) for old in OLD if old in text} == {}


def test_every_object_is_in_one_of_the_two_namespaces(renamed: list[Manifest]):
    rights = {(kind, "nhm-rollout") for kind in ("Role", "RoleBinding")}
    at_specialists = {
        (one["kind"], one["metadata"]["name"]) for one in renamed if one["metadata"].get("namespace") == SPECIALISTS
    }
    assert at_specialists == rights
    assert {one["metadata"].get("namespace") for one in renamed} == {PLATFORM, SPECIALISTS}


def test_every_pod_of_the_platform_uses_the_image(renamed: list[Manifest]):
    images = {container["image"] for _, template in pod_templates(renamed) for container in containers(template)}
    assert {one for one in images if not one.startswith(("postgres:", "nginx:"))} == {IMAGE}
    for name in ("nhm-code", "dagster-daemon"):
        (container,) = find(renamed, "Deployment", name, PLATFORM)["spec"]["template"]["spec"]["containers"]
        assert {"name": "DAGSTER_CURRENT_IMAGE", "value": IMAGE} in container["env"]


def test_mlflow_answers_to_its_address_in_the_settings(renamed: list[Manifest]):
    servers = [template for name, template in pod_templates(renamed) if name == "Deployment/mlflow"]
    names = [
        one["value"].split(",")[:3]
        for template in servers
        for one in template["spec"]["containers"][0]["env"]
        if one["name"] == "MLFLOW_SERVER_ALLOWED_HOSTS"
    ]
    host = f"mlflow.{PLATFORM}.svc.{DOMAIN}"
    assert names == [[f"{host}:5000", host, "mlflow"]] * len(servers)


def test_the_image_of_the_laptop_has_one_place_too(tmp_path: Path):
    shutil.copytree(K8S, tmp_path / "k8s")
    overlay = tmp_path / "k8s" / "overlays" / KIND.name
    mine = kustomization(KIND)
    (image,) = [one for one in mine["images"] if one["name"] == "nhm-assets"]
    image["newName"], image["newTag"] = IMAGE.split(":")
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(mine))
    assert "nhm-assets:0.1.0" not in yaml.safe_dump_all(rendered(overlay))
