"""The commands that operators know by heart work against a real API server whose node runs the pods."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.k8s.conftest import Cluster, Retrainable
from tests.support.documents import WEEK
from tests.support.manifests import JOB_FILE
from tests.support.processes import eventually

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]

NAMESPACE = ("-n", "mlflow")
LABEL = ("-l", "component=specialist-retraining")
JOB = "train-specialist-models"
MANUAL = "specialist-retraining-manual-1"


@pytest.fixture(scope="module")
def applied(retrainable: Retrainable) -> Retrainable:
    """The platform after the Job was applied from its unchanged file and has completed."""
    cluster = retrainable.cluster
    cluster.kubectl("apply", "-f", JOB_FILE)
    wait_for(cluster, JOB)
    return retrainable


def wait_for(cluster: Cluster, job: str, expected: str = "complete") -> None:
    """Run `kubectl wait`, but stop as soon as the Job has ended in another way."""
    waiting = ("wait", f"--for=condition={expected}", "--timeout=5s", *NAMESPACE, f"job/{job}")

    def has_ended() -> bool:
        if cluster.try_kubectl(*waiting).returncode == 0:
            return True
        return any(condition["type"] in {"Complete", "Failed"} for condition in conditions())

    def conditions() -> list[dict[str, Any]]:
        return list(cluster.get("job", job, *NAMESPACE)["status"].get("conditions", []))

    assert eventually(has_ended, within_s=600), conditions()
    waited = cluster.try_kubectl(*waiting)
    assert waited.returncode == 0, waited.stderr + cluster.kubectl("logs", *NAMESPACE, f"job/{job}")


def test_the_job_retrains_all_five_specialists(applied: Retrainable):
    log = applied.cluster.kubectl("logs", *NAMESPACE, f"job/{JOB}")
    for specialist in ("technical", "business", "behavior", "evolution", "architecture"):
        assert f'"specialist": "{specialist}", "week": "{WEEK}"' in log
    assert applied.production_version("technical") == "1"


def test_the_run_restarts_a_promoted_specialist_with_its_own_account(applied: Retrainable):
    template = applied.cluster.get("deployment", "specialist-technical", "-n", "semantic-translation")["spec"][
        "template"
    ]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]


def test_the_label_lists_its_job(applied: Retrainable):
    listed = applied.cluster.kubectl("get", "jobs", *NAMESPACE, *LABEL, "--no-headers")
    assert JOB in listed


def test_the_label_finds_its_log(applied: Retrainable):
    assert "technical" in applied.cluster.kubectl("logs", *NAMESPACE, *LABEL, "--tail=-1")


def test_a_job_whose_retraining_breaks_never_completes(applied: Retrainable):
    """A Job for a week that does not exist fails, so waiting for it to complete fails too."""
    job = yaml.safe_load(JOB_FILE.read_text())
    job["metadata"]["name"] = "broken"
    job["spec"]["template"]["spec"]["containers"][0]["command"] += ["--week", "2026-01-05"]
    applied.cluster.apply(job)
    wait_for(applied.cluster, "broken", "failed")
    with pytest.raises(AssertionError, match="2026-01-05"):
        wait_for(applied.cluster, "broken")


@pytest.mark.exhaustive
def test_a_job_can_be_created_from_the_suspended_cronjob(applied: Retrainable, tmp_path: Path):
    cluster = applied.cluster
    command = ["create", "job", "--from=cronjob/specialist-models-retraining", MANUAL, *NAMESPACE]
    if cluster.is_old:
        with newer_api(cluster, tmp_path) as server:
            kubeconfig = tmp_path / "kubeconfig"
            kubeconfig.write_text(json.dumps(plain_access(server)))
            done = Cluster(kubeconfig).try_kubectl(*command)
    else:
        done = cluster.try_kubectl(*command)
    assert done.returncode == 0, done.stderr
    wait_for(cluster, MANUAL)
    assert MANUAL in cluster.kubectl("get", "jobs", *NAMESPACE, *LABEL, "--no-headers")
    assert "technical" in cluster.kubectl("logs", *NAMESPACE, f"job/{MANUAL}")


def test_the_cronjob_starts_nothing_by_itself(deployed: Cluster):
    assert deployed.get("cronjob", "specialist-models-retraining", *NAMESPACE)["spec"]["suspend"] is True


def plain_access(server: str) -> dict[str, Any]:
    """A kubeconfig for a server that needs no credentials."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "newer", "cluster": {"server": server}}],
        "contexts": [{"name": "newer", "context": {"cluster": "newer", "user": ""}}],
        "current-context": "newer",
    }


@contextmanager
def newer_api(cluster: Cluster, folder: Path) -> Iterator[str]:
    """A proxy before the API server that serves CronJobs as batch/v1, as every server since 1.21 does.

    `kubectl create job --from` does not know the older API version.
    """
    access = yaml.safe_load(cluster.kubeconfig.read_text())
    target = access["clusters"][0]["cluster"]["server"]
    authority = folder / "ca.crt"
    authority.write_bytes(base64.b64decode(access["clusters"][0]["cluster"]["certificate-authority-data"]))
    token = access["users"][0]["user"]["token"]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            path = (
                self.path.replace("/apis/batch/v1/", "/apis/batch/v1beta1/") if "/cronjobs" in self.path else self.path
            )
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            headers["Content-Type"] = self.headers["Content-Type"] or "application/json"
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            response = requests.request(
                self.command, target + path, data=body, headers=headers, verify=str(authority), timeout=30
            )
            answer = response.json()
            if path.split("?")[0] == "/apis/batch/v1":
                names = {"name": "cronjobs", "singularName": "cronjob", "kind": "CronJob", "namespaced": True}
                answer["resources"].append(names | {"verbs": ["get", "list"]})
            if answer.get("kind") == "CronJob":
                answer["apiVersion"] = "batch/v1"
            self.answer(response.status_code, json.dumps(answer).encode())

        def answer(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    for method in ("GET", "POST"):
        setattr(Handler, f"do_{method}", Handler.forward)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
