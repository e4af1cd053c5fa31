"""The choices that an overlay has: your own PostgreSQL and MLflow, S3, a Job per step."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.manifests import (
    K8S,
    MODELS,
    OVERLAYS,
    PRODUCTION,
    STANDALONE,
    Manifest,
    documents,
    find,
    rendered,
    schema_versions,
    validate,
    with_component,
)


def test_the_platform_can_run_without_its_own_postgresql_and_mlflow():
    manifests = rendered(PRODUCTION.parent / "own-services")
    names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests}
    assert ("Deployment", "nhm-code") in names
    assert not {("StatefulSet", "nhm-postgresql"), ("Deployment", "mlflow")} & names


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_no_volume_is_shared_between_nodes(overlay: Path):
    """On kind, EKS and GKE, no default storage class offers ReadWriteMany."""
    manifests = rendered(overlay)
    assert "ReadWriteMany" not in yaml.safe_dump_all([*manifests, *documents(MODELS)])
    assert find(manifests, "ConfigMap", "nhm-settings")["data"]["NHM_STORAGE"] == "mlflow-artifacts:/nhm"


def test_datasets_can_be_kept_in_s3(tmp_path: Path):
    on_s3 = with_component(tmp_path, "s3-storage")
    assert find(on_s3, "ConfigMap", "nhm-settings")["data"]["NHM_STORAGE"].startswith("s3://")


def test_the_status_of_pods_can_be_read_through_the_api_server(production: list[Manifest], tmp_path: Path):
    assert "pods/proxy" not in yaml.safe_dump_all(production)
    by_api_server = with_component(tmp_path, "status-by-api-server")
    assert find(by_api_server, "ConfigMap", "nhm-settings")["data"]["SPECIALIST_STATUS_URL"] == ""
    role = find(by_api_server, "Role", "nhm-rollout", "semantic-translation")
    (rule,) = [one for one in role["rules"] if "pods/proxy" in one["resources"]]
    assert (rule["resources"], rule["verbs"]) == (["pods/proxy"], ["get"])
    assert [one for one in role["rules"] if one is not rule] == find(
        production, "Role", "nhm-rollout", "semantic-translation"
    )["rules"]


def test_step_jobs_give_runs_the_right_to_start_them(tmp_path: Path):
    manifests = with_component(tmp_path, "step-jobs")
    assert find(manifests, "ConfigMap", "nhm-settings")["data"]["RUN_EXECUTOR"] == "k8s_job"
    rules = find(manifests, "Role", "nhm-run-steps")["rules"]
    assert {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete"]} in rules
    validate(manifests, schema_versions()[-1])


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


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_kubectl_delete_deletes_no_data(overlay: Path):
    """A claim or a namespace among the manifests would go with them; the claims of a StatefulSet stay."""
    assert not {"Namespace", "PersistentVolumeClaim"} & {manifest["kind"] for manifest in rendered(overlay)}


def test_the_volume_of_the_models_is_the_one_that_mlflow_mounts():
    (claim,) = documents(MODELS)
    volumes = find(rendered(STANDALONE), "Deployment", "mlflow")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "artifacts", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in volumes


def test_only_the_overlay_for_an_empty_cluster_brings_an_mlflow():
    kinds = {
        overlay.name: {(each["kind"], each["metadata"]["name"]) for each in rendered(overlay)} for overlay in OVERLAYS
    }
    brought = {("Deployment", "mlflow"), ("Service", "mlflow")}
    assert {name: brought & objects for name, objects in kinds.items()} == {
        "standalone": brought,
        "production": set(),
        "own-services": set(),
    }
