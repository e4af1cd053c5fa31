"""`kubectl apply -k k8s/overlays/production` in the namespace where the field's MLflow runs: nothing there changes."""

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.dry_node import for_old_server, in_sqlite
from nhm_assets.domain.specialists import FIVE
from tests.k8s.conftest import SERVING, Cluster, without_background_jobs
from tests.support.kube import deployment, start_control_plane, start_node, stop_control_plane
from tests.support.manifests import (
    K8S,
    PRIORITY,
    PRODUCTION,
    STANDALONE,
    Manifest,
    as_list,
    find,
    for_environment,
    rendered,
)
from tests.support.nhm import environment, nhm
from tests.support.processes import ROOT, eventually
from tests.support.servers import mlflow_server
from tests.support.web import website

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

SPECIALISTS_NAMESPACE = "neural-hive"
THEIRS = ("namespace", "deployment", "service", "statefulset", "networkpolicy", "secret", "configmap", "cronjob")


@pytest.fixture(scope="module")
def field(control_plane_scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster as the platform finds it: MLflow and a database in `mlflow`, specialists in `neural-hive`."""
    folder = tmp_path_factory.mktemp("field")
    try:
        cluster = Cluster(start_control_plane(control_plane_scripts, folder))
        start_node(control_plane_scripts, folder)
        for namespace in ("mlflow", SPECIALISTS_NAMESPACE):
            cluster.kubectl("create", "namespace", namespace)
        cluster.apply(*theirs())
        for workload in ("deployment/mlflow", "statefulset/postgresql"):
            cluster.kubectl("rollout", "status", "-n", "mlflow", workload, "--timeout=180s")
        yield cluster
    finally:
        stop_control_plane(control_plane_scripts, folder)


def theirs() -> list[Manifest]:
    """The objects of others, whose names ours must not have."""
    labels = {"app": "mlflow"}
    mlflow = deployment("mlflow")
    mlflow["metadata"]["namespace"] = "mlflow"
    service = {"selector": labels, "ports": [{"port": 5000, "targetPort": 5000}]}
    template = {**mlflow["spec"]["template"], "metadata": {"labels": {"app": "postgresql"}, "annotations": {}}}
    database = {"serviceName": "postgresql", "selector": {"matchLabels": {"app": "postgresql"}}, "template": template}
    specialists = [deployment(f"specialist-{name}") for name in FIVE]
    for specialist in specialists:
        specialist["metadata"]["namespace"] = SPECIALISTS_NAMESPACE
    return [
        mlflow,
        named("v1", "Service", "mlflow", {"spec": service}),
        named("apps/v1", "StatefulSet", "postgresql", {"spec": database}),
        named("v1", "Service", "postgresql", {"spec": {**service, "selector": {"app": "postgresql"}}}),
        named("v1", "ConfigMap", "mlflow-config", {"data": {"a": "b"}}),
        *specialists,
    ]


def named(version: str, kind: str, name: str, body: dict[str, Any]) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "mlflow"}, **body}


def versions(cluster: Cluster) -> dict[tuple[str, ...], str]:
    """The resourceVersion of every object in the cluster that somebody may have made."""
    found = cluster.get(",".join(THEIRS), "--all-namespaces")["items"]
    return {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item["metadata"][
            "resourceVersion"
        ]
        for item in found
    }


def settled(cluster: Cluster) -> dict[tuple[str, ...], str]:
    """The same, once no controller changes a status any more."""
    seen: list[dict[tuple[str, ...], str]] = []

    def unchanged() -> bool:
        seen.append(versions(cluster))
        return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3]

    assert eventually(unchanged)
    return seen[-1]


@dataclass(frozen=True)
class Answer:
    """What `nhm cluster check` printed."""

    code: int
    text: str

    @property
    def faults(self) -> list[str]:
        """The lines about faults."""
        return [line.removeprefix("FAULT").strip() for line in self.text.splitlines() if line.startswith("FAULT")]


@dataclass(frozen=True)
class Story:
    """What an operator sees, in order: each answer of `nhm cluster check`, and the objects of others.

    Attributes:
        bare, ready, applied: the check of `production` before anything is prepared, before and after the apply.
        standalone: the check of the overlay that brings an MLflow, where there is one.
        powerless: the check by an account without rights.
        versions: of the objects of others at the start, after the apply, and after the deletion.
        ours, kept: our Deployments after the apply, and the volumes of ours after the deletion.
    """

    bare: Answer
    ready: Answer
    standalone: Answer
    powerless: Answer
    applied: Answer
    versions: list[dict[tuple[str, ...], str]]
    ours: set[str]
    kept: set[str]


STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "none",
}
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data-nhm-postgresql-0", "namespace": "mlflow"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
OLD_SERVER = "Kubernetes: version 1.20 is older than 1.27"
"""The tests' server is older than what the platform asks for; the manifests are adapted to it."""


@pytest.fixture(scope="module")
def story(field: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    production, standalone = (for_the_field(folder, overlay) for overlay in (PRODUCTION, STANDALONE))

    def check(manifests: list[Manifest], kubeconfig: Path = field.kubeconfig) -> Answer:
        path = folder / "rendered.yaml"
        path.write_text(yaml.safe_dump_all(manifests))
        done = nhm("cluster", "check", "--manifests", path, kubeconfig=kubeconfig)
        return Answer(done.returncode, done.stdout + done.stderr)

    bare, powerless = check(production), check(production, field.as_account("default", folder))
    field.put_secret("dagster-postgresql-secret", {"postgresql-password": "made-up"})
    field.put_secret("mongodb-secret", {"uri": "mongodb://user:hidden@mongodb.data.svc:27017"})
    field.apply(STORAGE_CLASS, VOLUME)
    ready, without_mlflow = check(production), check(standalone)
    versions = [settled(field)]
    field.apply(*production)
    versions.append(settled(field))
    ours = {name for kind, _, name in versions[1].keys() - versions[0].keys() if kind == "Deployment"}
    applied = check(production)
    field.kubectl("delete", "--wait=false", "-f", "-", send=as_list(production))
    assert eventually(lambda: ("Deployment", "mlflow", "nhm-code") not in settled(field))
    versions.append(settled(field))
    kept = {one["metadata"]["name"] for one in field.get("pvc", "-n", "mlflow")["items"]}
    return Story(bare, ready, without_mlflow, powerless, applied, versions, ours, kept)


def for_the_field(folder: Path, overlay: Path) -> list[Manifest]:
    """An overlay with the field's name of the specialists' namespace, for the tests' server."""
    shutil.copytree(K8S, folder / "k8s", dirs_exist_ok=True)
    file = folder / "k8s" / "overlays" / overlay.name / "kustomization.yaml"
    file.write_text(file.read_text().replace("=semantic-translation", f"={SPECIALISTS_NAMESPACE}"))
    return [for_old_server(manifest) for manifest in rendered(file.parent)]


def test_applying_and_deleting_the_platform_changes_no_object_of_others(story: Story):
    """An apply once re-pointed the Service, so that every client lost MLflow, and labelled the namespace."""
    before, applied, deleted = story.versions
    assert ("Service", "mlflow", "mlflow") in before
    assert {name: applied.get(name) for name in before} == before
    assert {name: deleted.get(name) for name in before} == before
    assert story.ours == {"nhm-code", "nhm-exporter", "dagster-daemon", "dagster-webserver"}


def test_the_volume_of_the_database_outlives_the_platform(story: Story):
    assert story.kept == {"data-nhm-postgresql-0"}


def test_before_the_apply_each_lack_is_named_with_its_remedy(story: Story):
    assert story.bare.code == 1
    assert story.bare.faults == [
        OLD_SERVER,
        "Secrets: dagster-postgresql-secret does not exist in mlflow",
        "Secrets: mongodb-secret does not exist in mlflow",
        "storage: the volume data-nhm-postgresql-0 needs a default class, and there is none (there are: no classes)",
    ]
    assert "-> kubectl create secret generic -n mlflow mongodb-secret --from-literal=uri=..." in story.bare.text
    lines = story.bare.text.splitlines()
    assert all(
        lines[at + 1].strip().startswith("-> ") for at, line in enumerate(lines) if not line.startswith(("ok", " "))
    )


def test_nothing_is_missing_once_it_is_there_before_and_after_the_apply(story: Story):
    for answer in (story.ready, story.applied):
        assert answer.faults == [OLD_SERVER, "MongoDB: there is no Service mongodb in data"], answer.text
        assert "MLflow: Service mlflow in mlflow has ready pods" in answer.text
        assert "API server: the policy nhm-api-server opens 10." in answer.text
        assert "specialists: all 5 Deployments exist" in answer.text
        assert "hidden" not in answer.text
    count = len(rendered(PRODUCTION))
    assert f"no object of others has a name of the {count}; 0 are there already" in story.ready.text
    assert f"no object of others has a name of the {count}; {count} are there already" in story.applied.text


def test_objects_of_others_that_an_apply_would_overwrite_are_named(story: Story):
    taken = [line for line in story.standalone.faults if line.startswith("names: ")]
    assert [line.split()[1] for line in taken] == ["Service/mlflow", "Deployment/mlflow"]
    assert all("Do not apply: it would be overwritten" in line for line in taken)
    assert "storage: the volume mlflow-artifacts does not exist in mlflow" in story.standalone.faults


def test_who_may_not_apply_or_grant_learns_each_missing_right(story: Story):
    assert "rights: you may not create deployments in mlflow" in story.powerless.faults
    grant = f"you do not hold patch deployments specialist-technical in {SPECIALISTS_NAMESPACE}"
    assert f"rights: you may not grant a Role: {grant}" in story.powerless.faults
    assert "unknown  Secrets: you may not read mongodb-secret in mlflow" in story.powerless.text


def test_two_environments_live_in_one_cluster_and_have_rights_in_their_own_namespaces(field: Cluster, tmp_path: Path):
    names = ("staging", "live")
    checks = []
    for name in names:
        for namespace in (name, f"{name}-specialists"):
            field.kubectl("create", "namespace", namespace)
        priority = "RUN_PRIORITY_CLASS=nhm-runs"
        manifests = [for_old_server(one) for one in for_environment(tmp_path / name, PRODUCTION, name, priority)]
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(manifests))
        if name == "live":
            field.kubectl("apply", "-f", PRIORITY)
        done = nhm("cluster", "check", "--manifests", path, kubeconfig=field.kubeconfig)
        checks.append("no PriorityClass nhm-runs, so no run's pod" in done.stdout)
        assert "no object of others has a name of the" in done.stdout
        field.kubectl("apply", "-f", path)
    assert checks == [True, False]
    daemons = field.get("deployments", "-A", "-l", "component=daemon")["items"]
    assert {one["metadata"]["namespace"] for one in daemons} >= set(names)

    def may(account: str, namespace: str) -> bool:
        question = ("auth", "can-i", "patch", "deployment/specialist-technical", "-n", f"{namespace}-specialists")
        done = field.try_kubectl(*question, f"--as=system:serviceaccount:{account}:nhm-run")
        return done.stdout.strip().endswith("yes")

    assert {(one, other) for one in names for other in names if may(one, other)} == {(one, one) for one in names}
    for name in names:
        field.kubectl("delete", "--wait=false", "-f", tmp_path / f"{name}.yaml")


@pytest.mark.exhaustive
def test_every_step_of_the_kind_script_works_and_leaves_the_objects_of_others_alone(
    field: Cluster, story: Story, mongod_uri: str, tmp_path: Path
):
    """Apply, check, one run, one restart, one drain, delete: all but the specialist that was restarted is as before."""
    manifests = for_the_field(tmp_path, PRODUCTION)
    config = find(manifests, "ConfigMap", "nhm-dagster")["data"]
    config["dagster.yaml"] = in_sqlite(config["dagster.yaml"], tmp_path / "dagster")
    database = f"test_{uuid.uuid4().hex[:12]}"
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    before = settled(field)
    with (
        without_background_jobs(),
        mlflow_server(tmp_path / "mlflow") as mlflow,
        website({"/status": (200, json.dumps(SERVING))}) as specialist,
    ):
        settings = {"MLFLOW_TRACKING_URI": mlflow, "MONGODB_DATABASE": database, "ENVIRONMENT": "development"}
        field.put_secret("nhm-secrets", {**settings, "SPECIALIST_STATUS_URL": f"{specialist.address}/status"})
        field.put_secret("mongodb-secret", {"uri": mongod_uri})
        command = [sys.executable, "-m", "deploy.kind_smoke", "--dry-node", "--manifests", path]
        access = {**environment(), "KUBECONFIG": str(field.kubeconfig)}
        done = subprocess.run(command, cwd=ROOT, env=access, capture_output=True, text=True, timeout=500, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("== ")]
    assert steps == ["apply", "check", "run", "restart", "drain", "delete", "done"]
    after = settled(field)
    ours = {("Secret", "mlflow", name) for name in ("nhm-secrets", "mongodb-secret")}
    # Environments of other tests may still be starting or ending.
    compared = {name for name in before.keys() - ours if name[1] in ("mlflow", SPECIALISTS_NAMESPACE)}
    changed = {name for name in compared if after.get(name) != before[name]}
    assert changed == {("Deployment", SPECIALISTS_NAMESPACE, "specialist-technical")}


def test_the_kind_script_stops_at_the_step_that_fails_and_names_it(field: Cluster, tmp_path: Path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A"}}))
    command = [sys.executable, "-m", "deploy.kind_smoke", "--dry-node", "--manifests", wrong]
    access = {**environment(), "KUBECONFIG": str(field.kubeconfig)}
    done = subprocess.run(command, cwd=ROOT, env=access, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("== apply FAILED: kubectl apply -f")
