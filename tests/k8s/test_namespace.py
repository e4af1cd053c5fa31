"""`namespace:` in an overlay is the one place that moves the platform into another namespace."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import K8S, OVERLAYS, Manifest, find, for_environment, pod_templates, rendered

ELSEWHERE, OFFERED = "hive", "#   namespace: hive\n"


@pytest.fixture(params=OVERLAYS, ids=lambda path: path.name)
def overlay(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of an overlay in which the line that it offers is switched on."""
    shutil.copytree(K8S, tmp_path / "k8s")
    copy = tmp_path / "k8s" / "overlays" / request.param.name
    file = copy / "kustomization.yaml"
    assert OFFERED in file.read_text()
    file.write_text(file.read_text().replace(OFFERED, f"namespace: {ELSEWHERE}\n"))
    return copy


@pytest.fixture
def moved(overlay: Path) -> list[Manifest]:
    return rendered(overlay)


def test_every_object_but_the_rights_at_the_specialists_is_there(moved: list[Manifest]):
    elsewhere = {
        (manifest["kind"], manifest["metadata"]["name"], manifest["metadata"].get("namespace"))
        for manifest in moved
        if manifest["metadata"].get("namespace") != ELSEWHERE
    }
    assert elsewhere == {(kind, "nhm-rollout", "semantic-translation") for kind in ("Role", "RoleBinding")}


def test_all_rights_are_those_of_its_own_accounts(moved: list[Manifest]):
    bindings = [manifest for manifest in moved if manifest["kind"] == "RoleBinding"]
    assert len(bindings) >= 3
    assert {subject["namespace"] for binding in bindings for subject in binding["subjects"]} == {ELSEWHERE}


def test_runs_start_in_the_namespace_of_the_pod_that_starts_them(moved: list[Manifest]):
    launcher = yaml.safe_load(find(moved, "ConfigMap", "nhm-dagster", ELSEWHERE)["data"]["dagster.yaml"])[
        "run_launcher"
    ]
    assert launcher["config"]["job_namespace"] == {"env": "POD_NAMESPACE"}
    own = {"fieldRef": {"fieldPath": "metadata.namespace"}}
    readers = {
        name: next((one.get("valueFrom") for one in container["env"] if one["name"] == "POD_NAMESPACE"), None)
        for name, template in pod_templates(moved)
        for container in template["spec"]["containers"]
        if any(mount["name"] == "instance" for mount in container.get("volumeMounts", []))
    }
    assert len(readers) >= 4
    assert readers == dict.fromkeys(readers, own)
    (of_runs,) = [
        one for one in launcher["config"]["run_k8s_config"]["container_config"]["env"] if "field_ref" in str(one)
    ]
    assert of_runs == {"name": "POD_NAMESPACE", "value_from": {"field_ref": {"field_path": "metadata.namespace"}}}


def test_nothing_names_the_usual_namespace_but_the_mlflow_that_others_run_there(overlay: Path, moved: list[Manifest]):
    """A server of the platform that is named with a namespace would be looked for where it no longer is."""
    text = yaml.safe_dump_all(moved)
    named = set(re.findall(r"\S+\.mlflow\.svc\S*", text))
    others = overlay.name == "production"
    assert named == ({"http://mlflow.mlflow.svc.cluster.local:5000"} if others else set())
    policies = [manifest for manifest in moved if manifest["kind"] == "NetworkPolicy"]
    admitted = {policy["metadata"]["name"] for policy in policies if "metadata.name: mlflow" in yaml.safe_dump(policy)}
    assert admitted == ({"nhm-to-mlflow"} if others else set())


def test_the_mlflow_of_the_platform_is_found_and_answers_where_it_is(overlay: Path, moved: list[Manifest]):
    uri = find(moved, "ConfigMap", "nhm-settings", ELSEWHERE)["data"]["MLFLOW_TRACKING_URI"]
    if overlay.name == "standalone":
        assert uri == f"http://mlflow.{ELSEWHERE}.svc.cluster.local:5000"
    elif overlay.name == "production":
        assert uri == "http://mlflow.mlflow.svc.cluster.local:5000"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_two_environments_have_no_object_in_common(overlay: Path, tmp_path: Path):
    names = [
        {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in environment}
        for environment in (for_environment(tmp_path / name, overlay, name) for name in ("staging", "live"))
    ]
    assert len(names[0]) == len(names[1]) > 30
    assert names[0] & names[1] == set()
