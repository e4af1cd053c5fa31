"""`kubectl apply -k k8s/overlays/production` in the namespace where the field's MLflow runs: nothing there changes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.domain.specialists import FIVE
from tests.k8s.conftest import Cluster
from tests.support.kube import deployment, start_control_plane, start_node, stop_control_plane
from tests.support.manifests import K8S, PRODUCTION, Manifest, for_old_server, rendered
from tests.support.processes import eventually

pytestmark = [pytest.mark.kubernetes, pytest.mark.servers]

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
            cluster.kubectl("rollout", "status", "-n", "mlflow", workload, "--timeout=60s")
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

    assert eventually(unchanged, within_s=60)
    return seen[-1]


def test_applying_the_platform_changes_no_object_of_others(field: Cluster, tmp_path: Path):
    """It once re-pointed the Service, so that every client lost MLflow, and labelled the namespace."""
    shutil.copytree(K8S, tmp_path / "k8s")
    overlay = tmp_path / "k8s" / "overlays" / PRODUCTION.name
    file = overlay / "kustomization.yaml"
    file.write_text(file.read_text().replace("=semantic-translation", f"={SPECIALISTS_NAMESPACE}"))
    before = settled(field)
    field.apply(*map(for_old_server, rendered(overlay)))
    after = versions(field)
    assert {name: after.get(name) for name in before} == before
    assert ("Deployment", "mlflow", "nhm-code") in after
