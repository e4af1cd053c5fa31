"""Access to a cluster: permanent and transient errors are different classes, and no call waits forever."""

import json
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from resources.errors import KubernetesRefused, KubernetesUnavailable, ServiceError
from resources.kubernetes import MAX_ANSWER_BYTES, Cluster, Kubernetes, PodAnswer
from tests.support.kube import seconds_of
from tests.support.ports import free_port
from tests.support.processes import curt_port, silent_port
from tests.support.web import Answer, website

DEPLOYMENT = "/apis/apps/v1/namespaces/hive/deployments/specialist-technical"
STATUS = "/api/v1/namespaces/hive/pods/pod-1%3A8000/proxy/status"
HIDDEN = "shown-to-nobody"
TIMEOUT_S = 0.5
SLACK_S = 20.0


def kubernetes(folder: Path, address: str) -> Kubernetes:
    """Access to an API server at this address."""
    path = folder / "kubeconfig"
    access = {
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": HIDDEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(access))
    return Kubernetes(kubeconfig=path, in_pod=False, timeout_s=TIMEOUT_S)


def refusal(code: int, message: str) -> Answer:
    return code, json.dumps({"kind": "Status", "code": code, "message": message})


def read(cluster: Cluster) -> dict[str, Any]:
    return cluster.deployment("hive", "specialist-technical")


FORBIDDEN = (
    'deployments.apps "specialist-technical" is forbidden: User "system:serviceaccount:mlflow:runs" cannot get resource'
    ' "deployments" in API group "apps" in the namespace "hive"'
)


PERMANENT, TRANSIENT = KubernetesRefused, KubernetesUnavailable


@pytest.mark.parametrize(
    ("answer", "kind", "named"),
    [
        (refusal(401, "Unauthorized"), PERMANENT, ["does not know", "get Deployment specialist-technical", "hive"]),
        (refusal(403, FORBIDDEN), PERMANENT, ["system:serviceaccount:mlflow:runs", "get Deployment", "hive", "Role"]),
        (refusal(404, "not found"), PERMANENT, ["no Deployment specialist-technical", "SPECIALIST_NAMESPACE"]),
        (refusal(422, "is invalid"), PERMANENT, ["is invalid"]),
        (refusal(429, "too many requests"), TRANSIENT, ["too many requests"]),
        (refusal(500, "etcdserver: leader changed"), TRANSIENT, ["leader changed"]),
        ((503, "no backend"), TRANSIENT, ["HTTP 503"]),
        ((200, "<html>log in</html>"), TRANSIENT, ["not JSON"]),
    ],
)
def test_an_error_names_verb_thing_namespace_and_user_and_is_transient_or_not(
    tmp_path: Path, answer: Answer, kind: type[ServiceError], named: list[str]
):
    with website({DEPLOYMENT: answer}) as site, kubernetes(tmp_path, site.address).cluster() as cluster:
        with pytest.raises(kind) as raised:
            read(cluster)
        assert len(site.asked) == 1
    assert all(word in str(raised.value) for word in named)
    assert HIDDEN not in str(raised.value)
    assert raised.value.transient is (kind is KubernetesUnavailable)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("port", [silent_port, curt_port])
def test_an_api_server_that_never_answers_or_hangs_up_is_unavailable_soon(
    tmp_path: Path, port: Callable[..., Any], scheme: str
):
    with port() as number, kubernetes(tmp_path, f"{scheme}://127.0.0.1:{number}").cluster() as cluster:

        def ask() -> None:
            with pytest.raises(KubernetesUnavailable, match="cannot be reached to get Deployment"):
                read(cluster)

        assert seconds_of(ask) < TIMEOUT_S + SLACK_S


def test_without_an_api_server_it_is_unavailable(tmp_path: Path):
    with (
        kubernetes(tmp_path, f"http://127.0.0.1:{free_port()}").cluster() as cluster,
        pytest.raises(KubernetesUnavailable, match="whether the API server runs"),
    ):
        read(cluster)


def test_an_object_is_returned_as_it_was_sent(tmp_path: Path):
    sent = {"kind": "Deployment", "spec": {"something": {"new": [1]}}}
    with (
        website({DEPLOYMENT: (200, json.dumps(sent))}) as site,
        kubernetes(tmp_path, site.address).cluster() as cluster,
    ):
        assert read(cluster) == sent
        assert site.asked == [(DEPLOYMENT, f"Bearer {HIDDEN}")]


@pytest.mark.parametrize("answer", [(200, "{}"), (500, "it is broken"), (404, "no such page"), (302, "elsewhere")])
def test_every_http_answer_of_a_pod_is_returned(tmp_path: Path, answer: Answer):
    with website({STATUS: answer}) as site, kubernetes(tmp_path, site.address).cluster() as cluster:
        assert cluster.ask_pod("hive", "pod-1", 8000, "status") == PodAnswer(answer[0], answer[1].encode())


def test_without_the_right_to_ask_pods_it_is_refused(tmp_path: Path):
    message = 'pods "pod-1" is forbidden: User "jane" cannot get resource "pods/proxy"'
    with (
        website({STATUS: refusal(403, message)}) as site,
        kubernetes(tmp_path, site.address).cluster() as cluster,
        pytest.raises(KubernetesRefused, match="does not allow jane to get pods/proxy of pod-1 in namespace hive"),
    ):
        cluster.ask_pod("hive", "pod-1", 8000, "status")


def test_an_endless_answer_of_a_pod_is_cut_off(tmp_path: Path):
    with (
        website({STATUS: (200, "x" * 10 * MAX_ANSWER_BYTES)}) as site,
        kubernetes(tmp_path, site.address).cluster() as cluster,
    ):
        found = cluster.ask_pod("hive", "pod-1", 8000, "status")
    assert found is not None
    assert len(found.body) == MAX_ANSWER_BYTES


def test_a_pod_that_does_not_answer_is_no_error(tmp_path: Path):
    with silent_port() as number, kubernetes(tmp_path, f"http://127.0.0.1:{number}").cluster() as cluster:
        assert cluster.ask_pod("hive", "pod-1", 8000, "status") is None


def test_a_pod_whose_answer_is_cut_off_is_no_error_either(tmp_path: Path):
    """The proxy closes the connection, as an API server that goes away would."""
    with cutting_off() as number, kubernetes(tmp_path, f"http://127.0.0.1:{number}").cluster() as cluster:
        assert cluster.ask_pod("hive", "pod-1", 8000, "status") is None


@contextmanager
def cutting_off() -> Iterator[int]:
    """A port that announces more bytes than it sends."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "[]", "clusters: 3", "current-context: nowhere\nclusters: []\nusers: []\ncontexts: []"],
)
def test_a_kubeconfig_that_cannot_be_used_is_refused_by_its_name(tmp_path: Path, content: str | None):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    wrong = Kubernetes(kubeconfig=path, in_pod=False, timeout_s=TIMEOUT_S)
    with pytest.raises(KubernetesRefused, match="kubeconfig"), wrong.cluster():
        pass


def test_outside_of_a_pod_there_is_no_access_of_a_pod():
    with (
        pytest.raises(KubernetesRefused, match="in a pod with the token of a ServiceAccount"),
        Kubernetes(kubeconfig=None, in_pod=True, timeout_s=TIMEOUT_S).cluster(),
    ):
        pass


def test_without_a_file_and_outside_of_a_pod_there_is_no_cluster():
    nowhere = Kubernetes(kubeconfig=None, in_pod=False, timeout_s=TIMEOUT_S)
    assert (nowhere.configured, nowhere.address) == (False, "not configured")
    with pytest.raises(KubernetesRefused, match="Set KUBECONFIG"), nowhere.cluster():
        pass
    assert Kubernetes(kubeconfig=None, in_pod=True, timeout_s=TIMEOUT_S).configured
