"""Deployments, Jobs, Services and disruption budgets fit together."""

from tests.support.manifests import PRODUCTION, Manifest, find, pod_templates, rendered


def test_job_and_cronjob_start_the_same_pod(production: list[Manifest]):
    job = find(production, "Job", "train-specialist-models")
    cronjob = find(production, "CronJob", "specialist-models-retraining")
    assert cronjob["spec"]["jobTemplate"]["spec"] == job["spec"]
    assert cronjob["spec"]["jobTemplate"]["metadata"]["labels"] == job["metadata"]["labels"]


def test_an_overlay_starts_no_retraining_when_it_is_applied():
    """The CronJob is made from the Job; the Job itself must not be applied with it."""
    assert not [manifest for manifest in rendered(PRODUCTION) if manifest["kind"] == "Job"]


def test_runs_use_the_image_of_the_code_location(production: list[Manifest]):
    (container,) = find(production, "Deployment", "nhm-code")["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment["DAGSTER_CURRENT_IMAGE"] == container["image"]
    (retrain,) = find(production, "Job", "train-specialist-models")["spec"]["template"]["spec"]["containers"]
    assert retrain["image"] == container["image"]


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


def test_every_service_selects_the_pods_of_one_workload(production: list[Manifest]):
    labels = [template["metadata"]["labels"] for _, template in pod_templates(production)]
    for manifest in production:
        if manifest["kind"] == "Service":
            assert labels.count(manifest["spec"]["selector"]) == 1, manifest["metadata"]["name"]
