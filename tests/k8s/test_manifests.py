"""The manifests as they are rendered: valid for clusters of today, restricted, and agreed with the settings."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from nhm_assets.settings import Settings
from tests.k8s.conftest import Cluster
from tests.support.manifests import (
    JOB_FILE,
    OVERLAYS,
    PRODUCTION,
    Manifest,
    as_list,
    containers,
    documents,
    find,
    for_old_server,
    pod_templates,
    rendered,
    with_component,
)

IN_THE_CLUSTER = {
    "NHM_HOME": "/var/lib/nhm",
    "NHM_STORAGE": "/var/lib/nhm-storage",
    "DAGSTER_HOME": "/opt/dagster/dagster_home",
    "DAGSTER_URL": "http://dagster-webserver.mlflow.svc.cluster.local",
    "ENVIRONMENT": "production",
    "MLFLOW_TRACKING_URI": "http://mlflow.mlflow.svc.cluster.local:5000",
}
"""Settings whose default is for a person's machine."""
GIVEN_BY_KUBERNETES = {"POD_NAME", "POD_NAMESPACE", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"}
SECRETS = {
    ("mongodb-secret", "uri"),
    ("dagster-postgresql-secret", "postgresql-password"),
    ("mlflow-postgresql-secret", "postgresql-password"),
}


@pytest.fixture(scope="module")
def production() -> list[Manifest]:
    return [*rendered(PRODUCTION), *documents(JOB_FILE)]


def as_text(value: Any) -> str:
    """A setting's default as an environment variable gives it."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)


def expected_settings() -> dict[str, str]:
    public = {
        name.upper(): as_text(field.default)
        for name, field in Settings.model_fields.items()
        if "SecretStr" not in str(field.annotation) and name.upper() not in GIVEN_BY_KUBERNETES
    }
    return public | IN_THE_CLUSTER


def test_the_configmap_holds_every_setting_that_is_no_secret_with_its_default(production: list[Manifest]):
    assert find(production, "ConfigMap", "nhm-settings")["data"] == expected_settings()


def test_the_settings_of_the_configmap_can_be_loaded(production: list[Manifest], monkeypatch: pytest.MonkeyPatch):
    for name, value in find(production, "ConfigMap", "nhm-settings")["data"].items():
        monkeypatch.setenv(name, value)
    assert Settings.load().in_production


def test_a_setting_that_is_secret_is_told_from_one_that_is_not():
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    given = Settings(**dict.fromkeys(secret, "x"))
    assert {"mongodb_uri", "smtp_password"} <= secret
    assert all(isinstance(getattr(given, name), SecretStr) for name in secret)


def newest_versions() -> list[str]:
    """The three newest minor versions of Kubernetes whose schemas are at hand."""
    from kubernetes_validate.utils import all_versions

    return sorted(set(all_versions()), key=lambda one: [int(part) for part in one.split(".")])[-3:]


def validate(manifests: list[Manifest], version: str) -> None:
    import kubernetes_validate

    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", newest_versions())
def test_every_manifest_fits_the_published_schemas(version: str):
    every = [*documents(JOB_FILE), *(one for overlay in OVERLAYS for one in rendered(overlay))]
    assert len(OVERLAYS) == 2
    validate([json.loads(one) for one in {json.dumps(one) for one in every}], version)


@pytest.mark.parametrize("version", newest_versions())
def test_a_field_that_does_not_exist_fits_no_schema(production: list[Manifest], version: str):
    import kubernetes_validate

    broken = copy.deepcopy(find(production, "CronJob", "specialist-models-retraining"))
    broken["spec"]["suspended"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        validate([broken], version)


@pytest.mark.kubernetes
def test_the_production_overlay_applies(deployed: Cluster):
    manifests = [for_old_server(one) for one in rendered(PRODUCTION)]
    again = deployed.kubectl("apply", "--dry-run=server", "-f", "-", send=as_list(manifests))
    assert len(again.splitlines()) == len(manifests)


@pytest.mark.kubernetes
def test_every_workload_comes_up(deployed: Cluster):
    """As far as this node goes: Secrets, ConfigMaps, volumes and accounts are there under the names that pods use."""
    deployed.put_secret("mongodb-secret", {"uri": "mongodb://nowhere.invalid"})
    for workload in ("deployment/nhm-code", "deployment/dagster-webserver", "deployment/dagster-daemon"):
        deployed.kubectl("rollout", "status", "-n", "mlflow", workload, "--timeout=60s")
    for workload in ("deployment/mlflow", "statefulset/postgresql"):
        deployed.kubectl("rollout", "status", "-n", "mlflow", workload, "--timeout=60s")


@pytest.mark.kubernetes
def test_an_overlay_that_the_server_refuses_is_noticed(deployed: Cluster):
    manifests = [for_old_server(one) for one in rendered(PRODUCTION)]
    find(manifests, "Deployment", "nhm-code")["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Often"
    refused = deployed.try_kubectl("apply", "--dry-run=server", "-f", "-", send=as_list(manifests))
    assert refused.returncode != 0
    assert "Often" in refused.stderr


def lacks_of_pod(pod: Manifest) -> Iterator[str]:
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        yield "may run as root"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "any system call"
    if "automountServiceAccountToken" not in pod:
        yield "token by default"
    if pod.get("automountServiceAccountToken") and pod.get("serviceAccountName", "default") == "default":
        yield "token of the default account"


def lacks_of_container(container: Manifest) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if not security.get("readOnlyRootFilesystem"):
        yield "writable root"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities"
    resources = container.get("resources", {})
    if not resources.get("requests", {}).get("cpu") or not resources.get("limits", {}).get("memory"):
        yield "no resources"
    elif resources["requests"]["memory"] != resources["limits"]["memory"]:
        yield "memory that can be taken back"
    if not re.fullmatch(r"[a-z-]+:[0-9][0-9.]+", container["image"]):
        yield "image not pinned"


def restrictions(template: Manifest) -> list[str]:
    """What the pods of a template lack to be as restricted as they should be."""
    lacking = [fault for container in containers(template) for fault in lacks_of_container(container)]
    return [*lacks_of_pod(template["spec"]), *lacking]


def test_every_pod_is_restricted(production: list[Manifest]):
    found = {name: restrictions(template) for name, template in pod_templates(production)}
    assert len(found) == 7
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        (("serviceAccountName",), "default"),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        (("containers", 0, "resources", "limits"), {"memory": "8Gi"}),
        (("containers", 0, "image"), "nhm-assets"),
        (("containers", 0, "image"), "nhm-assets:latest"),
    ],
)
def test_a_pod_that_is_not_restricted_is_noticed(production: list[Manifest], path: tuple[Any, ...], value: Any):
    template = copy.deepcopy(find(production, "Deployment", "dagster-daemon")["spec"]["template"])
    place = template["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(restrictions(template)) == 1


def test_only_pods_that_ask_the_api_server_carry_a_token(production: list[Manifest]):
    carrying = {
        name for name, template in pod_templates(production) if template["spec"]["automountServiceAccountToken"]
    }
    assert carrying == {
        "Deployment/dagster-daemon",
        "Deployment/dagster-webserver",
        "CronJob/specialist-models-retraining",
        "Job/train-specialist-models",
    }


def secret_references(found: Any) -> Iterator[tuple[str, str]]:
    if isinstance(found, dict):
        for key in ("secretKeyRef", "secret_key_ref"):
            if key in found:
                yield found[key]["name"], found[key]["key"]
        for inner in found.values():
            yield from secret_references(inner)
    elif isinstance(found, list):
        for inner in found:
            yield from secret_references(inner)


def test_secrets_are_named_and_never_there(production: list[Manifest]):
    assert not [one for one in production if one["kind"] == "Secret"]
    config = find(production, "ConfigMap", "nhm-dagster")["data"]["dagster.yaml"]
    assert set(secret_references([*production, yaml.safe_load(config)])) == SECRETS


def test_webserver_and_daemon_do_not_know_where_mongodb_is(production: list[Manifest]):
    for name in ("dagster-webserver", "dagster-daemon"):
        pod = find(production, "Deployment", name)["spec"]["template"]
        assert {secret for secret, _ in secret_references(pod)} == {"dagster-postgresql-secret"}


def test_job_and_cronjob_start_the_same_pod(production: list[Manifest]):
    job = find(production, "Job", "train-specialist-models")
    cronjob = find(production, "CronJob", "specialist-models-retraining")
    assert cronjob["spec"]["jobTemplate"]["spec"] == job["spec"]
    assert cronjob["spec"]["jobTemplate"]["metadata"]["labels"] == job["metadata"]["labels"]


def test_runs_get_the_image_of_the_code_location(production: list[Manifest]):
    (container,) = find(production, "Deployment", "nhm-code")["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["DAGSTER_CURRENT_IMAGE"] == container["image"]
    (retrain,) = find(production, "Job", "train-specialist-models")["spec"]["template"]["spec"]["containers"]
    assert retrain["image"] == container["image"]


def test_every_workload_that_stays_has_probes_and_a_disruption_budget(production: list[Manifest]):
    budgets = [one["spec"]["selector"]["matchLabels"] for one in production if one["kind"] == "PodDisruptionBudget"]
    for name, template in pod_templates(production):
        if name.startswith(("Deployment", "StatefulSet")):
            assert template["metadata"]["labels"] in budgets, name
            for container in template["spec"]["containers"]:
                assert {"startupProbe", "livenessProbe"} <= container.keys(), name


def test_services_and_budgets_select_the_pods_that_they_mean(production: list[Manifest]):
    labels = [template["metadata"]["labels"] for _, template in pod_templates(production)]
    for one in production:
        if one["kind"] == "Service":
            assert labels.count(one["spec"]["selector"]) == 1, one["metadata"]["name"]


def test_the_platform_can_be_brought_up_without_postgresql_and_mlflow():
    names = {(one["kind"], one["metadata"]["name"]) for one in rendered(PRODUCTION.parent / "own-services")}
    assert ("Deployment", "nhm-code") in names
    assert not {("StatefulSet", "postgresql"), ("Deployment", "mlflow")} & names


def test_with_s3_nothing_needs_the_shared_volume(production: list[Manifest], tmp_path: Path):
    found = with_component(tmp_path, "s3-storage")
    volume = re.compile(r"(?<!/)nhm-storage")
    assert len(volume.findall(yaml.safe_dump_all(production))) == 4
    assert not volume.findall(yaml.safe_dump_all(found))
    assert find(found, "ConfigMap", "nhm-settings")["data"]["NHM_STORAGE"].startswith("s3://")
    validate([find(found, "CronJob", "specialist-models-retraining")], newest_versions()[-1])


def test_the_dagster_yaml_for_s3_lacks_the_volume_alone(production: list[Manifest], tmp_path: Path):
    files = (
        find(manifests, "ConfigMap", "nhm-dagster")["data"]
        for manifests in (production, with_component(tmp_path, "s3-storage"))
    )
    usual, in_s3 = (yaml.safe_load(one["dagster.yaml"]) for one in files)
    pod = usual["run_launcher"]["config"]["run_k8s_config"]
    for part, key in (("pod_spec_config", "volumes"), ("container_config", "volume_mounts")):
        pod[part][key] = [one for one in pod[part][key] if one["name"] != "storage"]
    assert in_s3 == usual


def test_step_jobs_give_runs_the_right_to_start_them(tmp_path: Path):
    found = with_component(tmp_path, "step-jobs")
    assert find(found, "ConfigMap", "nhm-settings")["data"]["RUN_EXECUTOR"] == "k8s_job"
    role = find(found, "Role", "nhm-run-steps")
    assert {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "delete"]} in role[
        "rules"
    ]
    validate(found, newest_versions()[-1])
