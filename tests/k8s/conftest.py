"""A real control plane for these tests, with the production overlay applied."""

import json
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo import MongoClient

from deploy.dry_node import for_old_server, in_sqlite
from nhm_assets.domain.specialists import FIVE
from resources.mlflow import Mlflow
from tests.support.documents import WEEK_END, put, reviewed_opinions
from tests.support.kube import deployment, start_control_plane, start_node, stop_control_plane
from tests.support.manifests import JOB_FILE, PRODUCTION, Manifest, as_list, documents, find, rendered
from tests.support.servers import mlflow_server
from tests.support.web import website

PLATFORM_NAMESPACE = "mlflow"
SPECIALISTS_NAMESPACE = "semantic-translation"
SERVING = {"status": "SERVING", "details": {"model_loaded": True, "mlflow_connected": True, "ledger_connected": True}}
_ALL_KINDS_KNOWN = (1, 25)
"""The first version of Kubernetes that serves every kind in the version that the manifests use."""
_PASSWORDS = ("dagster-postgresql-secret", "mlflow-postgresql-secret")


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster, with an administrator's access."""

    kubeconfig: Path

    def try_kubectl(self, *arguments: object, send: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig, *map(str, arguments)],
            input=send,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    def kubectl(self, *arguments: object, send: str | None = None) -> str:
        """The output of `kubectl`, which must succeed."""
        done = self.try_kubectl(*arguments, send=send)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}"
        return done.stdout

    def get(self, *arguments: object) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *manifests: Manifest) -> None:
        self.kubectl("apply", "-f", "-", send=as_list(list(manifests)))

    @property
    def is_old(self) -> bool:
        """Whether the server knows some kinds of the manifests only in older API versions."""
        version = json.loads(self.kubectl("version", "-o", "json"))["serverVersion"]
        return (int(version["major"]), int(version["minor"].rstrip("+"))) < _ALL_KINDS_KNOWN

    def put_secret(self, name: str, values: Mapping[str, object]) -> None:
        """Create or replace a Secret in the platform's namespace."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": "mlflow"},
                "stringData": {key: str(value) for key, value in values.items()},
            }
        )

    def as_account(self, account: str, folder: Path) -> Path:
        """A kubeconfig with the token of this ServiceAccount of the platform, and no other credentials."""
        token = self.kubectl("create", "token", account, "-n", "mlflow", "--duration=1h").strip()
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
        path = folder / f"{account}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path


@pytest.fixture(scope="package")
def production() -> list[Manifest]:
    """What operators apply: the production overlay, and the Job by hand. Tests must not change it."""
    return [*rendered(PRODUCTION), *documents(JOB_FILE)]


@pytest.fixture(scope="package")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, given_cluster: Path | None
) -> Iterator[Cluster]:
    """The cluster that the caller provides, or a control plane and a test node on this machine."""
    if given_cluster:
        yield Cluster(given_cluster)
        return
    scripts = request.getfixturevalue("control_plane_scripts")
    # Only for this test process, because the platform's namespace and names are always the same.
    folder = tmp_path_factory.mktemp("kube")
    try:
        kubeconfig = start_control_plane(scripts, folder)
        start_node(scripts, folder)
        yield Cluster(kubeconfig)
    finally:
        stop_control_plane(scripts, folder)


@pytest.fixture(scope="package")
def deployed(cluster: Cluster, shared_folder: Path) -> Cluster:
    """The cluster with the production overlay, adapted to the version of the server, and made-up passwords.

    No PostgreSQL runs behind the Service here, so Dagster's instance is in SQLite.
    """
    manifests = [for_old_server(manifest) if cluster.is_old else manifest for manifest in rendered(PRODUCTION)]
    config = find(manifests, "ConfigMap", "nhm-dagster")["data"]
    config["dagster.yaml"] = in_sqlite(config["dagster.yaml"], shared_folder / "dagster-in-cluster")
    for namespace in (PLATFORM_NAMESPACE, SPECIALISTS_NAMESPACE):
        if cluster.try_kubectl("get", "namespace", namespace).returncode:
            cluster.kubectl("create", "namespace", namespace)
    cluster.apply(*manifests)
    for specialist in FIVE:
        body = deployment(f"specialist-{specialist}")
        body["metadata"]["namespace"] = SPECIALISTS_NAMESPACE
        cluster.apply(body)
    for name in _PASSWORDS:
        cluster.put_secret(name, {"postgresql-password": "made-up"})
    return cluster


@dataclass(frozen=True)
class Retrainable:
    """The deployed platform with MongoDB, an MLflow server, and feedback on all five specialists."""

    cluster: Cluster
    mlflow_uri: str
    settings: dict[str, str]

    def production_version(self, specialist: str) -> str | None:
        """The version that has the alias `production`; the same version must be in the stage Production."""
        mlflow = Mlflow(uri=self.mlflow_uri, home=Path("unused"), timeout_s=10)
        with mlflow.client() as client:
            name = f"{specialist}-evaluator"
            if not client.search_registered_models(f"name='{name}'"):
                return None
            version = client.get_registered_model(name).aliases.get("production")
            staged = client.get_latest_versions(name, ["Production"])
            assert [registered.version for registered in staged] == ([version] if version else [])
            return version


@contextmanager
def without_background_jobs() -> Iterator[None]:
    """Start the MLflow server without its eight processes for language models, as the manifests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        yield


@pytest.fixture(scope="module")
def retrainable(deployed: Cluster, mongod_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retrainable]:
    """The deployed platform whose Secrets name real servers; some settings are replaced through `nhm-secrets`."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    with (
        without_background_jobs(),
        mlflow_server(tmp_path_factory.mktemp("mlflow")) as uri,
        website({"/status": (200, json.dumps(SERVING))}) as specialist,
        MongoClient(mongod_uri, tz_aware=True) as client,
    ):
        for name in FIVE:
            opinions, feedback = reviewed_opinions(320, specialist=name)
            put(client[database], opinions=opinions, feedback=feedback)
        settings = {
            "MLFLOW_TRACKING_URI": uri,
            "MONGODB_DATABASE": database,
            # In production, nothing replaces the clock.
            "ENVIRONMENT": "staging",
            "NHM_NOW": (WEEK_END + timedelta(days=2)).isoformat(),
            "MIN_REAL_SAMPLES": "300",
            "MIN_TEST_ROWS": "40",
            "RETRAINING_FEEDBACK_THRESHOLD": "100000",
            # The specialists' pods run nothing. This server answers for all of them.
            "SPECIALIST_STATUS_URL": f"{specialist.address}/status",
        }
        deployed.put_secret("mongodb-secret", {"uri": mongod_uri})
        deployed.put_secret("nhm-secrets", settings)
        yield Retrainable(deployed, uri, settings)
        client.drop_database(database)
