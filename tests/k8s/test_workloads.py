"""Deployments, Jobs, Services and disruption budgets fit together."""

import json
import re

import yaml

from tests.support.manifests import PRODUCTION, STANDALONE, Manifest, containers, find, pod_templates, rendered
from tests.support.processes import ROOT


def test_job_and_cronjob_start_the_same_pod(production: list[Manifest]):
    job = find(production, "Job", "train-specialist-models")
    cronjob = find(production, "CronJob", "specialist-models-retraining")
    assert cronjob["spec"]["jobTemplate"]["spec"] == job["spec"]
    assert cronjob["spec"]["jobTemplate"]["metadata"]["labels"] == job["metadata"]["labels"]


def test_an_overlay_starts_no_retraining_when_it_is_applied():
    """The CronJob is made from the Job; the Job itself must not be applied with it."""
    assert not [manifest for manifest in rendered(PRODUCTION) if manifest["kind"] == "Job"]


def test_runs_use_the_image_of_the_daemon_and_the_code_location(production: list[Manifest]):
    images = set()
    for name in ("nhm-code", "dagster-daemon"):
        (container,) = find(production, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert environment["DAGSTER_CURRENT_IMAGE"] == container["image"], name
        images.add(container["image"])
    (retrain,) = find(production, "Job", "train-specialist-models")["spec"]["template"]["spec"]["containers"]
    assert images == {retrain["image"]}


def test_every_long_running_workload_has_probes_and_a_disruption_budget(production: list[Manifest]):
    budgets = [
        manifest["spec"]["selector"]["matchLabels"]
        for manifest in production
        if manifest["kind"] == "PodDisruptionBudget"
    ]
    for name, template in pod_templates(production):
        if name.startswith(("Deployment", "StatefulSet")):
            assert template["metadata"]["labels"] in budgets, name
            for container in template["spec"]["containers"]:
                assert {"startupProbe", "livenessProbe"} <= container.keys(), name


def test_after_a_change_of_settings_every_deployment_that_reads_them_is_restarted(production: list[Manifest]):
    """The exporter shows thresholds of the settings, which alerts compare with."""
    (listed,) = re.findall(r"deployment -l 'component in \((.*)\)'", (ROOT / "docs" / "kubernetes.md").read_text())
    reading = {
        template["metadata"]["labels"]["component"]
        for name, template in pod_templates(production)
        if name.startswith("Deployment")
        for container in template["spec"]["containers"]
        if {"configMapRef": {"name": "nhm-settings"}} in container["envFrom"]
    }
    assert set(listed.split(", ")) == reading


def test_every_service_selects_the_pods_of_one_workload(production: list[Manifest]):
    labels = [template["metadata"]["labels"] for _, template in pod_templates(production)]
    for manifest in production:
        if manifest["kind"] == "Service":
            assert labels.count(manifest["spec"]["selector"]) == 1, manifest["metadata"]["name"]


def test_no_disruption_budget_keeps_a_node_from_being_drained():
    """`minAvailable` of all replicas would; so would a pod that is not ready, without the policy for it."""
    replicas = {
        json.dumps(manifest["spec"]["selector"]["matchLabels"]): manifest["spec"]["replicas"]
        for manifest in rendered(STANDALONE)
        if manifest["kind"] in {"Deployment", "StatefulSet"}
    }
    budgets = [manifest["spec"] for manifest in rendered(STANDALONE) if manifest["kind"] == "PodDisruptionBudget"]
    assert len(budgets) == len(replicas)
    for budget in budgets:
        kept = budget.get("minAvailable", 0)
        assert kept < replicas[json.dumps(budget["selector"]["matchLabels"])], budget
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_database_has_room_for_what_its_processes_share():
    """In the 64 MiB that a container has, four of eight parallel joins at once failed."""
    pod = find(rendered(STANDALONE), "StatefulSet", "nhm-postgresql")["spec"]["template"]["spec"]
    mounted = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
    (volume,) = [one["emptyDir"] for one in pod["volumes"] if one["name"] == mounted["/dev/shm"]]  # noqa: S108
    assert volume == {"medium": "Memory", "sizeLimit": "256Mi"}
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())
    assert compose["services"]["postgresql"]["shm_size"] == "256m"


def test_every_database_is_dumped_by_night_and_before_a_migration_with_postgresqls_own_program():
    for overlay, expected in ((PRODUCTION, ["dump-dagster"]), (STANDALONE, ["dump-dagster", "dump-mlflow"])):
        manifests = rendered(overlay)
        server = find(manifests, "StatefulSet", "nhm-postgresql")["spec"]["template"]["spec"]["containers"][0]["image"]
        for name, command in (("nhm-backup", ["nhm", "backup", "store"]), ("nhm-migrate", ["nhm", "migrate"])):
            spec = find(manifests, "CronJob", name)["spec"]
            pod = spec["jobTemplate"]["spec"]["template"]["spec"]
            assert [one["name"] for one in pod["initContainers"]] == expected
            assert {one["image"] for one in pod["initContainers"]} == {server}
            assert pod["containers"][0]["command"][: len(command)] == command
            assert spec.get("suspend", False) is (name == "nhm-migrate")


def test_the_migration_gets_the_new_image_before_the_rest():
    """`kubectl apply -l nhm/step=migrate` sends it alone."""
    selected = [one for one in rendered(PRODUCTION) if "nhm/step" in one["metadata"]["labels"]]
    assert [(one["kind"], one["metadata"]["name"]) for one in selected] == [("CronJob", "nhm-migrate")]


def test_a_pod_on_a_node_that_is_gone_is_replaced_after_a_minute():
    for name, template in pod_templates(rendered(STANDALONE)):
        if name.startswith(("Deployment", "StatefulSet")):
            waits = {one["key"]: one["tolerationSeconds"] for one in template["spec"]["tolerations"]}
            assert waits == {"node.kubernetes.io/not-ready": 60, "node.kubernetes.io/unreachable": 60}, name


def test_a_daemon_that_hangs_is_restarted_within_five_minutes(production: list[Manifest]):
    (container,) = find(production, "Deployment", "dagster-daemon")["spec"]["template"]["spec"]["containers"]
    tolerance = {one["name"]: one.get("value") for one in container["env"]}["DAGSTER_DAEMON_HEARTBEAT_TOLERANCE"]
    probe = container["livenessProbe"]
    assert int(tolerance) + probe["periodSeconds"] * probe["failureThreshold"] <= 300


def test_slow_sensors_leave_threads_of_the_code_location_for_its_probes(production: list[Manifest]):
    """A tick keeps its thread after the daemon has given it up, and the next one takes another."""
    (container,) = find(production, "Deployment", "nhm-code")["spec"]["template"]["spec"]["containers"]
    threads = {one["name"]: one.get("value") for one in container["env"]}["DAGSTER_GRPC_MAX_WORKERS"]
    config = yaml.safe_load(find(production, "ConfigMap", "nhm-dagster")["data"]["dagster.yaml"])
    assert int(threads) >= 4 * config["sensors"]["num_workers"]


def test_every_temporary_volume_and_every_container_has_a_limit_on_the_nodes_disk():
    for name, template in pod_templates(rendered(STANDALONE)):
        for volume in template["spec"].get("volumes", []):
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], (name, volume)
        for container in containers(template):
            resources = container["resources"]
            assert resources["requests"]["ephemeral-storage"], name
            assert resources["limits"]["ephemeral-storage"], name
