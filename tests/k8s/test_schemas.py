"""The manifests are valid: for the published schemas of Kubernetes, and for a real API server."""

import copy
import json
from pathlib import Path

import pytest

from deploy.dry_node import for_old_server
from tests.k8s.conftest import Cluster
from tests.support.manifests import (
    JOB_FILE,
    KIND,
    MODELS,
    OVERLAYS,
    PRIORITY,
    PRODUCTION,
    STANDALONE,
    Manifest,
    as_list,
    documents,
    find,
    rendered,
    schema_versions,
    validate,
)


@pytest.mark.servers
@pytest.mark.parametrize("version", schema_versions())
def test_every_manifest_fits_the_published_schemas(version: str):
    manifests = [
        *documents(JOB_FILE),
        *documents(MODELS),
        *documents(PRIORITY),
        *(manifest for overlay in (*OVERLAYS, KIND) for manifest in rendered(overlay)),
    ]
    assert len(OVERLAYS) == 3
    validate([json.loads(text) for text in {json.dumps(manifest) for manifest in manifests}], version)


@pytest.mark.parametrize("version", schema_versions())
def test_a_field_that_does_not_exist_fits_no_schema(production: list[Manifest], version: str):
    import kubernetes_validate

    broken = copy.deepcopy(find(production, "CronJob", "specialist-models-retraining"))
    broken["spec"]["suspended"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        validate([broken], version)


@pytest.mark.kubernetes
@pytest.mark.parametrize("overlay", [PRODUCTION, STANDALONE], ids=lambda overlay: overlay.name)
def test_an_overlay_applies(deployed: Cluster, overlay: Path):
    manifests = [for_old_server(manifest) for manifest in rendered(overlay)]
    output = deployed.kubectl("apply", "--dry-run=server", "-f", "-", send=as_list(manifests))
    assert len(output.splitlines()) == len(manifests)


@pytest.mark.kubernetes
def test_every_workload_becomes_ready(deployed: Cluster):
    """The test node runs no images. It does look for the Secrets, ConfigMaps, volumes and accounts that pods name."""
    deployed.put_secret("mongodb-secret", {"uri": "mongodb://nowhere.invalid"})
    names = ("nhm-code", "dagster-webserver", "dagster-daemon", "nhm-exporter")
    for workload in (f"deployment/{name}" for name in names):
        deployed.kubectl("rollout", "status", "-n", "mlflow", workload, "--timeout=180s")
    deployed.kubectl("rollout", "status", "-n", "mlflow", "statefulset/nhm-postgresql", "--timeout=180s")


@pytest.mark.kubernetes
def test_an_overlay_that_the_server_refuses_is_noticed(deployed: Cluster):
    manifests = [for_old_server(manifest) for manifest in rendered(PRODUCTION)]
    find(manifests, "Deployment", "nhm-code")["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Often"
    refused = deployed.try_kubectl("apply", "--dry-run=server", "-f", "-", send=as_list(manifests))
    assert refused.returncode != 0
    assert "Often" in refused.stderr
