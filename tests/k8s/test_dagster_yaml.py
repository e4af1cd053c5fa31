"""Dagster and the run launcher accept the cluster's dagster.yaml."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, DagsterInvalidConfigError, DagsterRun
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

from deploy.dry_node import for_old_server
from nhm_assets.domain.dagster_names import JOB
from tests.support.dagster_internals import (
    InstanceRef,
    NoOpComputeLogManager,
    QueuedRunCoordinator,
    dagster_instance_config,
    process_config,
    process_workspace_config,
)
from tests.support.manifests import PRODUCTION, find, pod_templates, rendered

STORAGE = {
    "DAGSTER_PG_HOST": "nhm-postgresql",
    "DAGSTER_PG_PORT": "5432",
    "DAGSTER_PG_DB": "dagster",
    "DAGSTER_PG_USERNAME": "dagster",
    "DAGSTER_PG_PASSWORD": "made-up",
    "MAX_CONCURRENT_RUNS": "2",
}
NAMESPACE = "hive"
"""Of the pod that reads the file."""


@pytest.fixture(autouse=True)
def _namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", NAMESPACE)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return dict(find(rendered(PRODUCTION), "ConfigMap", "nhm-dagster")["data"])


@pytest.fixture
def config(files: dict[str, str]) -> dict[str, Any]:
    return dict(yaml.safe_load(files["dagster.yaml"]))


def loaded(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration after Dagster has checked it against its schema."""
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    checked, _ = dagster_instance_config(str(folder))
    return dict(checked)


def launcher_config(config: dict[str, Any]) -> dict[str, Any]:
    """The launcher's configuration after dagster-k8s has checked it against its schema."""
    checked = process_config(DagsterK8sJobConfig.config_type_run_launcher(), config["run_launcher"]["config"])
    assert checked.success, checked.errors
    return dict(checked.value)


def test_dagster_accepts_it(config: dict[str, Any], tmp_path: Path):
    checked = loaded(config, tmp_path)
    assert checked["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    assert checked["run_monitoring"]["enabled"] is True
    assert checked["telemetry"] == {"enabled": False}


def test_runs_start_in_the_namespace_of_the_pod_that_reads_it(config: dict[str, Any]):
    assert launcher_config(config)["job_namespace"] == NAMESPACE


def test_dagster_refuses_an_unknown_key(config: dict[str, Any], tmp_path: Path):
    with pytest.raises(DagsterInvalidConfigError):
        loaded(config | {"run_retry": {"enabled": True}}, tmp_path)


def test_dagster_can_create_what_it_names(config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in STORAGE.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    instance = InstanceRef.from_dir(str(tmp_path))
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, QueuedRunCoordinator)
    assert coordinator.get_run_queue_config().max_concurrent_runs == 2
    (limit,) = coordinator.get_run_queue_config().tag_concurrency_limits
    assert limit == {"key": "dagster/partition/specialist", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert isinstance(instance.compute_log_manager, NoOpComputeLogManager)
    assert instance.storage_data.class_name == "PooledPostgresStorage"


def test_the_configmap_holds_the_storage_settings():
    data = find(rendered(PRODUCTION), "ConfigMap", "nhm-dagster-storage")["data"]
    assert data == {name: value for name, value in STORAGE.items() if name in data}
    assert STORAGE.keys() - data.keys() == {"DAGSTER_PG_PASSWORD", "MAX_CONCURRENT_RUNS"}


def test_the_launcher_accepts_its_configuration_and_its_job_fits_the_published_schema(config: dict[str, Any]):
    import kubernetes
    import kubernetes_validate

    checked = launcher_config(config)
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="nhm-assets:0.1.0"),
        ["dagster"],
        "dagster-run-1",
        user_defined_k8s_config=UserDefinedDagsterK8sConfig.from_dict(checked["run_k8s_config"]),
    )
    body = json.loads(json.dumps(kubernetes.client.ApiClient().sanitize_for_serialization(job)))
    kubernetes_validate.validate(body, kubernetes_validate.latest_version(), strict=True)
    pod = body["spec"]["template"]["spec"]
    retrain = find(rendered(PRODUCTION), "CronJob", "specialist-models-retraining")
    ((_, by_hand),) = pod_templates([for_old_server(retrain)])
    assert pod["securityContext"] == by_hand["spec"]["securityContext"]
    assert pod["containers"][0]["securityContext"] == by_hand["spec"]["containers"][0]["securityContext"]
    assert body["metadata"]["labels"].items() >= by_hand["metadata"]["labels"].items()


def launched(config: dict[str, Any], folder: Path, by_user: dict[str, Any]) -> UserDefinedDagsterK8sConfig:
    """The pod of a run that somebody tagged with this `dagster-k8s/config`."""
    launcher = config["run_launcher"]
    access = {"load_incluster_config": False, "kubeconfig_file": str(folder / "kubeconfig"), "job_image": "nhm-assets"}
    launcher = launcher | {"config": launcher["config"] | access}
    cluster = {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [], "contexts": []}
    (folder / "kubeconfig").write_text(
        yaml.safe_dump(cluster | {"contexts": [{"name": "x", "context": {"cluster": "c"}}], "current-context": "x"})
    )
    overrides = {"run_launcher": launcher, "telemetry": {"enabled": False}}
    with DagsterInstance.local_temp(str(folder), overrides=overrides) as instance:
        run = DagsterRun(job_name=JOB, tags={"dagster-k8s/config": json.dumps(by_user)})
        return instance.run_launcher.get_container_context_for_run(run).run_k8s_config


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("container_config", {"image": "busybox"}),
        ("container_config", {"command": ["sh"]}),
        ("container_config", {"env_from": [{"secret_ref": {"name": "mlflow-postgresql-secret"}}]}),
        ("container_config", {"security_context": {"privileged": True}}),
        ("pod_spec_config", {"service_account_name": "nhm-dagster"}),
        ("pod_spec_config", {"volumes": [{"name": "secret", "secret": {"secret_name": "mlflow-postgresql-secret"}}]}),
        ("job_spec_config", {"backoff_limit": 6}),
        ("pod_template_spec_metadata", {"labels": {"app": "other"}}),
    ],
)
def test_the_launchpad_runs_no_other_program_and_opens_no_other_secret(
    config: dict[str, Any], tmp_path: Path, part: str, fields: dict[str, Any]
):
    with pytest.raises(Exception, match=f"violated the allowed list: {part}"):
        launched(config, tmp_path, {part: fields})


def test_the_launchpad_sets_no_variable(config: dict[str, Any], tmp_path: Path):
    env = [{"name": "PYTHONPATH", "value": "/tmp"}]  # noqa: S108 - somebody else's code
    with pytest.raises(Exception, match=r"violated the allowed list: container_config\.env"):
        launched(config, tmp_path, {"container_config": {"env": env}})


def test_the_launchpad_chooses_resources_and_nodes(config: dict[str, Any], tmp_path: Path):
    resources = {"limits": {"memory": "8Gi"}}
    nodes = {"node_selector": {"pool": "training"}, "tolerations": [{"key": "training", "operator": "Exists"}]}
    pod = launched(config, tmp_path, {"container_config": {"resources": resources}, "pod_spec_config": nodes})
    assert pod.container_config["resources"]["limits"]["memory"] == "8Gi"
    assert pod.pod_spec_config["node_selector"] == nodes["node_selector"]
    assert nodes["tolerations"][0] in pod.pod_spec_config["tolerations"]


@pytest.mark.parametrize(
    ("part", "key"),
    [("container_config", "volume_mount"), ("pod_spec_config", "toleration"), ("job_metadata", "label")],
)
def test_a_misspelled_key_of_the_pod_is_refused(config: dict[str, Any], part: str, key: str):
    broken = copy.deepcopy(launcher_config(config)["run_k8s_config"])
    broken[part][key] = []
    with pytest.raises(Exception, match=key):
        UserDefinedDagsterK8sConfig.from_dict(broken)


def test_the_workspace_names_the_service_of_the_code_location(files: dict[str, str]):
    workspace = yaml.safe_load(files["workspace.yaml"])
    process_workspace_config(workspace)
    (server,) = (location["grpc_server"] for location in workspace["load_from"])
    service = find(rendered(PRODUCTION), "Service", server["host"])
    assert [port["port"] for port in service["spec"]["ports"]] == [server["port"]]
