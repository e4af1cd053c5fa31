"""The choices that an overlay has: your own PostgreSQL and MLflow, S3 instead of a volume, a Job per step."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import (
    K8S,
    OVERLAYS,
    PRODUCTION,
    Manifest,
    find,
    newest_versions,
    rendered,
    validate,
    with_component,
)


def test_the_platform_can_run_without_its_own_postgresql_and_mlflow():
    manifests = rendered(PRODUCTION.parent / "own-services")
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    assert ("Deployment", "nhm-code") in names
    assert not {("StatefulSet", "nhm-postgresql"), ("Deployment", "mlflow")} & names


def test_with_s3_nothing_needs_the_shared_volume(production: list[Manifest], tmp_path: Path):
    on_s3 = with_component(tmp_path, "s3-storage")
    volume = re.compile(r"(?<!/)nhm-storage")
    assert len(volume.findall(yaml.safe_dump_all(production))) == 4
    assert not volume.findall(yaml.safe_dump_all(on_s3))
    assert find(on_s3, "ConfigMap", "nhm-settings")["data"]["NHM_STORAGE"].startswith("s3://")
    validate([find(on_s3, "CronJob", "specialist-models-retraining")], newest_versions()[-1])


def test_the_dagster_yaml_for_s3_lacks_only_the_volume(production: list[Manifest], tmp_path: Path):
    files = (
        find(manifests, "ConfigMap", "nhm-dagster")["data"]
        for manifests in (production, with_component(tmp_path, "s3-storage"))
    )
    with_volume, on_s3 = (yaml.safe_load(data["dagster.yaml"]) for data in files)
    pod = with_volume["run_launcher"]["config"]["run_k8s_config"]
    for part, key in (("pod_spec_config", "volumes"), ("container_config", "volume_mounts")):
        pod[part][key] = [entry for entry in pod[part][key] if entry["name"] != "storage"]
    assert on_s3 == with_volume


def test_step_jobs_give_runs_the_right_to_start_them(tmp_path: Path):
    manifests = with_component(tmp_path, "step-jobs")
    assert find(manifests, "ConfigMap", "nhm-settings")["data"]["RUN_EXECUTOR"] == "k8s_job"
    rules = find(manifests, "Role", "nhm-run-steps")["rules"]
    assert {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "delete"]} in rules
    validate(manifests, newest_versions()[-1])


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_namespace_of_the_specialists_is_one_line(overlay: Path, tmp_path: Path):
    shutil.copytree(K8S, tmp_path / "k8s")
    copied = tmp_path / "k8s" / "overlays" / overlay.name
    file = copied / "kustomization.yaml"
    changed = file.read_text().replace("SPECIALIST_NAMESPACE=semantic-translation", "SPECIALIST_NAMESPACE=elsewhere")
    file.write_text(changed)
    manifests = rendered(copied)
    assert "semantic-translation" not in yaml.safe_dump_all(manifests)
    find(manifests, "Role", "nhm-rollout", "elsewhere")
    (account,) = find(manifests, "RoleBinding", "nhm-rollout", "elsewhere")["subjects"]
    assert account == {"kind": "ServiceAccount", "name": "nhm-run", "namespace": "mlflow"}
    named = yaml.safe_dump_all(manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy")
    assert named.count("kubernetes.io/metadata.name: elsewhere") == (2 if overlay.name == "standalone" else 1)


def test_only_the_overlay_for_an_empty_cluster_brings_a_namespace_and_an_mlflow():
    kinds = {
        overlay.name: {(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)} for overlay in OVERLAYS
    }
    brought = {("Namespace", "mlflow"), ("Deployment", "mlflow"), ("Service", "mlflow")}
    assert {name: brought & objects for name, objects in kinds.items()} == {
        "standalone": brought,
        "production": set(),
        "own-services": set(),
    }
