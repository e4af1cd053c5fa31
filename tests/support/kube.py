"""A real Kubernetes control plane on this machine, Deployments of specialists, and users with few rights."""

import fcntl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.processes import eventually
from tests.support.progress import announce

Document = dict[str, Any]
START_TIMEOUT_S = 300


@contextmanager
def shared_control_plane(scripts: Path, folder: Path) -> Iterator[Path]:
    """The kubeconfig of a control plane and a node that all test processes share; the last process stops them."""
    folder.mkdir(exist_ok=True)
    up = folder / "kube"
    with (folder / "users").open("w") as users:
        with (folder / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (up / "kubeconfig").exists():
                start_control_plane(scripts, up)
                start_node(scripts, up)
        try:
            yield up / "kubeconfig"
        finally:
            with (folder / "starting").open("w") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)
                fcntl.flock(users, fcntl.LOCK_UN)
                if nobody_holds(users):
                    stop_control_plane(scripts, up)


def nobody_holds(lock: Any) -> bool:
    """Whether no other process holds this file's lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start_control_plane(scripts: Path, folder: Path) -> Path:
    """Start a control plane with its data in the folder, and give its kubeconfig."""
    announce("a Kubernetes control plane")
    for script in ([scripts / "build.sh"], [scripts / "up.sh", folder]):
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script[0].name}: {done.stderr[-3000:]}"
    return folder / "kubeconfig"


def start_node(scripts: Path, folder: Path) -> None:
    """Start the test node of a control plane; `stop_control_plane` stops it."""
    command = [sys.executable, scripts / "node.py", "--dir", folder, "--path-prefix", Path(sys.executable).parent]
    with (folder / "node.log").open("w") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    log_file = folder / "node.log"
    ready = eventually(lambda: "ready" in log_file.read_text() or node.poll() is not None, within_s=START_TIMEOUT_S)
    assert ready, f"node.py was not ready within {START_TIMEOUT_S} s"
    assert node.poll() is None, f"node.py: {log_file.read_text()[-3000:]}"


def stop_control_plane(scripts: Path, folder: Path) -> None:
    subprocess.run([scripts / "down.sh", "--keep", folder], capture_output=True, check=False)
    (folder / "kubeconfig").unlink(missing_ok=True)


def pid_of(kubeconfig: Path, process: str) -> int:
    """Process id of a part of the control plane: apiserver, etcd or controller-manager."""
    return int((kubeconfig.parent / f"{process}.pid").read_text().split()[0])


def deployment(name: str, **changes: Any) -> Document:
    """A Deployment whose pods run nothing. Keywords are fields of its spec; `template` holds its pods' annotations."""
    annotations = {"nhm.test/ready-after": "0.2", **changes.pop("template", {})}
    container = {"name": "specialist", "image": "specialist", "ports": [{"name": "http", "containerPort": 8000}]}
    container |= changes.pop("container", {})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
            **changes,
        },
    }


@dataclass
class Namespace:
    """A namespace for one test."""

    kubeconfig: Path
    name: str

    def __post_init__(self) -> None:
        from kubernetes import config
        from kubernetes.client import AppsV1Api, CoreV1Api, RbacAuthorizationV1Api

        self.api = config.new_client_from_config(str(self.kubeconfig))
        self.apps = AppsV1Api(self.api)
        self.core = CoreV1Api(self.api)
        self.rbac = RbacAuthorizationV1Api(self.api)

    def add(self, body: Document, *, wait: bool = True) -> None:
        """Create a Deployment and wait until it is available."""
        self.apps.create_namespaced_deployment(self.name, body)
        if wait:
            self.ready(body["metadata"]["name"], body["spec"]["replicas"])

    def ready(self, name: str, count: int) -> None:
        """Wait until this number of a Deployment's pods is available."""
        assert eventually(lambda: (self.get(name)["status"].get("availableReplicas") or 0) == count)

    def get(self, name: str) -> Document:
        """A Deployment as the API server returns it."""
        read = self.apps.read_namespaced_deployment(name, self.name)
        return dict(self.api.sanitize_for_serialization(read))

    def patch(self, name: str, **spec: Any) -> None:
        self.apps.patch_namespaced_deployment(name, self.name, {"spec": spec})

    def annotate_template(self, name: str, **annotations: str | None) -> None:
        """Change how the next pods behave; underscores in names become dashes."""
        annotated = {f"nhm.test/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self.patch(name, template={"metadata": {"annotations": annotated}})

    def annotations(self, name: str) -> dict[str, str]:
        """The annotations of a Deployment's pod template."""
        return dict(self.get(name)["spec"]["template"]["metadata"].get("annotations") or {})

    def pods(self, name: str) -> list[Any]:
        """The pods of a Deployment that are not being deleted, sorted by name."""
        pods = self.core.list_namespaced_pod(self.name, label_selector=f"app={name}").items
        return sorted((pod for pod in pods if not pod.metadata.deletion_timestamp), key=lambda pod: pod.metadata.name)

    def replica_sets(self, name: str) -> list[str]:
        """Names of all ReplicaSets of a Deployment, oldest first."""
        sets = self.apps.list_namespaced_replica_set(self.name, label_selector=f"app={name}").items
        revision = "deployment.kubernetes.io/revision"
        return [each.metadata.name for each in sorted(sets, key=lambda each: int(each.metadata.annotations[revision]))]

    def user(self, folder: Path, *rules: Document) -> Path:
        """The kubeconfig of a new ServiceAccount with these rights in the namespace."""
        account = f"runs-{uuid.uuid4().hex[:6]}"
        self.core.create_namespaced_service_account(self.name, {"metadata": {"name": account}})
        if rules:
            self.rbac.create_namespaced_role(self.name, {"metadata": {"name": account}, "rules": list(rules)})
            binding = {
                "metadata": {"name": account},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self.name}],
            }
            self.rbac.create_namespaced_role_binding(self.name, binding)
        token = self.core.create_namespaced_service_account_token(account, self.name, {"spec": {}}).status.token
        access = yaml.safe_load(self.kubeconfig.read_text())
        access["users"][0]["user"] = {"token": token}
        path = folder / f"{account}.kubeconfig"
        path.write_text(yaml.safe_dump(access))
        return path


def rule(group: str, resources: str, verbs: str, names: list[str] | None = None) -> Document:
    """A rule of a Role; spaces separate resources and verbs."""
    body: Document = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return body | ({"resourceNames": names} if names else {})


ENOUGH = (
    rule("apps", "deployments", "get patch"),
    rule("apps", "replicasets", "list"),
    rule("", "pods", "list"),
    rule("", "pods/proxy", "get"),
    rule("", "events", "list"),
)
"""Exactly the rights that a rollout needs."""


@contextmanager
def namespace(kubeconfig: Path) -> Iterator[Namespace]:
    """A new namespace. It is deleted at the end, without waiting."""
    created = Namespace(kubeconfig, f"specialists-{uuid.uuid4().hex[:8]}")
    created.core.create_namespace({"metadata": {"name": created.name}})
    try:
        yield created
    finally:
        created.core.delete_namespace(created.name, _request_timeout=30)
        created.api.close()


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started
