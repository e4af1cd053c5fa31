"""Rules that every pod of every overlay and component follows, and every run's pod too."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

from nhm_assets.instance.run_pods import run_pod_config
from nhm_assets.settings import Settings
from tests.support.manifests import (
    JOB_FILE,
    KIND,
    OVERLAYS,
    STANDALONE,
    Manifest,
    containers,
    documents,
    find,
    rendered,
    with_component,
)

THREE_DAYS_S = 3 * 86400
NODE_IS_GONE = {"node.kubernetes.io/not-ready": 60, "node.kubernetes.io/unreachable": 60}
MIB = {"Mi": 1, "Gi": 1024}

Workload = dict[str, Any]
"""What starts pods: a Deployment, a StatefulSet, a Job; of a CronJob, its Job. With the budgets beside it."""


def workloads_of(manifests: list[Manifest]) -> Iterator[tuple[str, Workload]]:
    budgets = [manifest["spec"] for manifest in manifests if manifest["kind"] == "PodDisruptionBudget"]
    for manifest in manifests:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            kind = "Job" if manifest["kind"] == "CronJob" else manifest["kind"]
            name = f"{manifest['kind']}/{manifest['metadata']['name']}"
            yield name, {"kind": kind, "spec": spec, "budgets": budgets}


def job_of_a_run() -> Manifest:
    """As the launcher makes it: from the settings, and from the dagster.yaml of the cluster."""
    import kubernetes

    file = yaml.safe_load(find(rendered(STANDALONE), "ConfigMap", "nhm-dagster")["data"]["dagster.yaml"])
    of_file = UserDefinedDagsterK8sConfig.from_dict(file["run_launcher"]["config"]["run_k8s_config"])
    of_settings = UserDefinedDagsterK8sConfig.from_dict(run_pod_config(Settings(), "technical"))
    merged = K8sContainerContext(run_k8s_config=of_settings).merge(K8sContainerContext(run_k8s_config=of_file))
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="nhm-assets:0.1.0"),
        ["dagster"],
        "dagster-run-1",
        user_defined_k8s_config=merged.run_k8s_config,
    )
    body: Manifest = json.loads(json.dumps(kubernetes.client.ApiClient().sanitize_for_serialization(job)))
    return body


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workload]:
    """All of them, by where they come from."""
    sources = {overlay.name: rendered(overlay) for overlay in (*OVERLAYS, KIND)}
    sources["door"] = with_component(tmp_path_factory.mktemp("door") / "k8s", "mlflow-read-only")
    sources["minio"] = with_component(tmp_path_factory.mktemp("minio") / "k8s", "minio")
    sources["by hand"] = documents(JOB_FILE)
    sources["run"] = [job_of_a_run()]
    return {
        f"{source}: {name}": workload
        for source, manifests in sources.items()
        for name, workload in workloads_of(manifests)
    }


def in_mib(amount: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([MG]i)", amount).groups()  # type: ignore[union-attr]
    return float(number) * MIB[unit]


def leaves_a_node_that_is_gone(workload: Workload) -> bool:
    """After a minute, not after five: whatever replaces or retries it waits for that."""
    waits = {
        one["key"]: one.get("tolerationSeconds")
        for one in workload["spec"]["template"]["spec"].get("tolerations", [])
        if one["operator"] == "Exists" and one["effect"] == "NoExecute"
    }
    return waits == NODE_IS_GONE


def changes_owners_only_where_they_are_wrong(workload: Workload) -> bool:
    """Without the policy, each start walks over all files of the volume. A volume needs the group to be writable."""
    template = workload["spec"]["template"]["spec"]
    security = template["securityContext"]
    claims = workload["spec"].get("volumeClaimTemplates") or [
        volume for volume in template.get("volumes", []) if "persistentVolumeClaim" in volume
    ]
    if "fsGroup" not in security:
        return not claims
    return bool(security.get("fsGroupChangePolicy") == "OnRootMismatch")


def spreads_over_nodes(workload: Workload) -> bool:
    """Pods of the same kind are apart where they can be, and start where they cannot."""
    spec, template = workload["spec"], workload["spec"]["template"]
    is_a_run = template["metadata"]["labels"].get("app.kubernetes.io/name") == "dagster"
    if spec.get("replicas", 1) == 1 and not is_a_run:
        return True
    rules = template["spec"].get("topologySpreadConstraints", [])
    return len(rules) == 1 and all(
        (rule["topologyKey"], rule["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
        and rule["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        for rule in rules
    )


def needs_no_priority_class(workload: Workload) -> bool:
    """A cluster refuses a pod that names a class it does not have. RUN_PRIORITY_CLASS names one for runs."""
    return "priorityClassName" not in workload["spec"]["template"]["spec"]


def says_what_it_needs_of_the_nodes_disk(workload: Workload) -> bool:
    amounts = [container["resources"] for container in containers(workload["spec"]["template"])]
    return all(
        in_mib(one["requests"].get("ephemeral-storage", "0Mi")) > 0
        and in_mib(one["limits"].get("ephemeral-storage", "0Mi")) > 0
        for one in amounts
    )


def can_fill_its_temporary_volumes(workload: Workload) -> bool:
    """The kubelet counts them, and what the containers print, against the limit of the pod, and evicts it beyond."""
    pod = workload["spec"]["template"]["spec"]
    volumes = [volume["emptyDir"] for volume in pod.get("volumes", []) if "emptyDir" in volume]
    if not all("sizeLimit" in volume for volume in volumes):
        return False
    limits = [
        sum(in_mib(one["resources"]["limits"].get("ephemeral-storage", "0Mi")) for one in pod["containers"]),
        *(in_mib(one["resources"]["limits"].get("ephemeral-storage", "0Mi")) for one in pod.get("initContainers", [])),
    ]
    return sum(in_mib(volume["sizeLimit"]) for volume in volumes) < max(limits)


def is_deleted_three_days_after_its_end(workload: Workload) -> bool:
    return workload["kind"] != "Job" or workload["spec"].get("ttlSecondsAfterFinished") == THREE_DAYS_S


def ends_by_a_deadline(workload: Workload) -> bool:
    return workload["kind"] != "Job" or workload["spec"].get("activeDeadlineSeconds", 0) > 0


def blocks_no_drain(workload: Workload) -> bool:
    """A budget that leaves no pod to evict, or counts pods that are not ready, would."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    own = [one for one in workload["budgets"] if one["selector"]["matchLabels"].items() <= labels.items()]
    return all(
        one.get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
        and one.get("minAvailable", 0) < workload["spec"]["replicas"]
        and one.get("maxUnavailable", 1) > 0
        for one in own
    )


def finds_the_file_of_the_specialists(workload: Workload) -> bool:
    """Every program reads SPECIALISTS_FILE with the other settings, and does not start without the file."""
    pod = workload["spec"]["template"]["spec"]
    volume = {"name": "specialists", "configMap": {"name": "nhm-specialists", "optional": True}}
    mount = {"name": "specialists", "mountPath": "/etc/nhm", "readOnly": True}
    return all(
        volume in pod["volumes"] and mount in container["volumeMounts"]
        for container in pod["containers"]
        if {"nhm-settings", "nhm-secrets"} & set(names_of_variables(container))
    )


def names_of_variables(container: dict[str, Any]) -> Iterator[str]:
    """The ConfigMaps and Secrets that hold the environment of a container."""
    for source in container.get("envFrom", ()):
        for kind in ("configMapRef", "secretRef"):
            if kind in source:
                yield source[kind]["name"]


RULES: dict[str, Callable[[Workload], bool]] = {
    rule.__name__: rule
    for rule in (
        leaves_a_node_that_is_gone,
        changes_owners_only_where_they_are_wrong,
        spreads_over_nodes,
        needs_no_priority_class,
        says_what_it_needs_of_the_nodes_disk,
        can_fill_its_temporary_volumes,
        is_deleted_three_days_after_its_end,
        ends_by_a_deadline,
        blocks_no_drain,
        finds_the_file_of_the_specialists,
    )
}


@pytest.mark.servers
@pytest.mark.parametrize("rule", RULES)
def test_every_workload_follows_the_rule(workloads: dict[str, Workload], rule: str):
    assert len(workloads) > 35
    assert [name for name, workload in workloads.items() if not RULES[rule](workload)] == []


@pytest.mark.parametrize(
    ("rule", "name", "path", "value"),
    [
        ("leaves_a_node_that_is_gone", "production: CronJob/nhm-backup", ("template", "spec", "tolerations"), []),
        (
            "changes_owners_only_where_they_are_wrong",
            "run: Job/dagster-run-1",
            ("template", "spec", "securityContext", "fsGroupChangePolicy"),
            "Always",
        ),
        (
            "changes_owners_only_where_they_are_wrong",
            "kind: StatefulSet/mongodb",
            ("template", "spec", "securityContext"),
            {"runAsUser": 999},
        ),
        ("spreads_over_nodes", "production: Deployment/nhm-exporter", ("replicas",), 2),
        ("spreads_over_nodes", "run: Job/dagster-run-1", ("template", "spec", "topologySpreadConstraints"), []),
        (
            "needs_no_priority_class",
            "by hand: Job/train-specialist-models",
            ("template", "spec", "priorityClassName"),
            "x",
        ),
        (
            "says_what_it_needs_of_the_nodes_disk",
            "standalone: CronJob/nhm-migrate",
            ("template", "spec", "initContainers", 1, "resources", "requests"),
            {"memory": "1Gi"},
        ),
        (
            "can_fill_its_temporary_volumes",
            "production: CronJob/nhm-backup",
            ("template", "spec", "volumes", 2, "emptyDir"),
            {"sizeLimit": "6Gi"},
        ),
        (
            "can_fill_its_temporary_volumes",
            "door: Deployment/mlflow-read-only",
            ("template", "spec", "volumes", 1, "emptyDir"),
            {},
        ),
        ("is_deleted_three_days_after_its_end", "production: CronJob/nhm-migrate", ("ttlSecondsAfterFinished",), None),
        ("ends_by_a_deadline", "run: Job/dagster-run-1", ("activeDeadlineSeconds",), 0),
        ("blocks_no_drain", "door: Deployment/mlflow-read-only", ("replicas",), 1),
        ("finds_the_file_of_the_specialists", "production: CronJob/nhm-backup", ("template", "spec", "volumes"), []),
        (
            "finds_the_file_of_the_specialists",
            "run: Job/dagster-run-1",
            ("template", "spec", "containers", 0, "volumeMounts"),
            [],
        ),
    ],
)
def test_a_workload_that_breaks_the_rule_is_noticed(
    workloads: dict[str, Workload], rule: str, name: str, path: tuple[Any, ...], value: Any
):
    broken = copy.deepcopy(workloads[name])
    target = broken["spec"]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert not RULES[rule](broken)
