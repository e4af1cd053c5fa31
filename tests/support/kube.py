"""A real Kubernetes control plane on this machine, Deployments of specialists in it, and users with few rights."""

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

Document = dict[str, Any]
START_TIMEOUT_S = 120


@contextmanager
def shared_control_plane(scripts: Path, folder: Path) -> Iterator[Path]:
    """The kubeconfig of a control plane with a node, which all test processes use; the last one stops it."""
    folder.mkdir(exist_ok=True)
    up, users = folder / "kube", folder / "users"
    with users.open("w") as used:
        with (folder / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(used, fcntl.LOCK_SH)
            if not (up / "kubeconfig").exists():
                start_control_plane(scripts, up)
                start_node(scripts, up)
        try:
            yield up / "kubeconfig"
        finally:
            with (folder / "starting").open("w") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)
                fcntl.flock(used, fcntl.LOCK_UN)
                if is_last(used):
                    stop_control_plane(scripts, up)


def is_last(used: Any) -> bool:
    try:
        fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start_control_plane(scripts: Path, folder: Path) -> Path:
    """The kubeconfig of a control plane that keeps its data in the folder."""
    for script in ([scripts / "build.sh"], [scripts / "up.sh", folder]):
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script[0].name}: {done.stderr[-3000:]}"
    return folder / "kubeconfig"


def start_node(scripts: Path, folder: Path) -> None:
    """Start the stand-in node beside a control plane; `stop_control_plane` ends it."""
    command = [sys.executable, scripts / "node.py", "--dir", folder, "--path-prefix", Path(sys.executable).parent]
    with (folder / "node.log").open("w") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    said = folder / "node.log"
    ready = eventually(lambda: "ready" in said.read_text() or node.poll() is not None, within_s=START_TIMEOUT_S)
    assert ready, "node.py says nothing"
    assert node.poll() is None, f"node.py: {said.read_text()[-3000:]}"


def stop_control_plane(scripts: Path, folder: Path) -> None:
    subprocess.run([scripts / "down.sh", "--keep", folder], capture_output=True, check=False)
    (folder / "kubeconfig").unlink(missing_ok=True)


def pid_of(kubeconfig: Path, process: str) -> int:
    """A process of the control plane: apiserver, etcd or controller-manager."""
    return int((kubeconfig.parent / f"{process}.pid").read_text().split()[0])


def deployment(name: str, **changes: Any) -> Document:
    """A Deployment whose pods only pretend to run. Named fields go into its spec, `template` into its annotations."""
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
    """A namespace of a test's own."""

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
        """Make a Deployment, and wait until it is available."""
        self.apps.create_namespaced_deployment(self.name, body)
        if wait:
            self.ready(body["metadata"]["name"], body["spec"]["replicas"])

    def ready(self, name: str, count: int) -> None:
        """Wait until so many pods of a Deployment are available."""
        assert eventually(lambda: (self.get(name)["status"].get("availableReplicas") or 0) == count)

    def get(self, name: str) -> Document:
        """A Deployment as the API server shows it."""
        read = self.apps.read_namespaced_deployment(name, self.name)
        return dict(self.api.sanitize_for_serialization(read))

    def patch(self, name: str, **spec: Any) -> None:
        self.apps.patch_namespaced_deployment(name, self.name, {"spec": spec})

    def annotate_template(self, name: str, **annotations: str | None) -> None:
        """Change how the next pods behave; underscores stand for dashes."""
        named = {f"nhm.test/{key.replace('_', '-')}": value for key, value in annotations.items()}
        self.patch(name, template={"metadata": {"annotations": named}})

    def annotations(self, name: str) -> dict[str, str]:
        """The annotations of a Deployment's pod template."""
        return dict(self.get(name)["spec"]["template"]["metadata"].get("annotations") or {})

    def pods(self, name: str) -> list[Any]:
        """The pods of a Deployment that are not on their way out, by name."""
        found = self.core.list_namespaced_pod(self.name, label_selector=f"app={name}").items
        return sorted((one for one in found if not one.metadata.deletion_timestamp), key=lambda one: one.metadata.name)

    def replica_sets(self, name: str) -> list[str]:
        """Names of all ReplicaSets of a Deployment, the oldest first."""
        found = self.apps.list_namespaced_replica_set(self.name, label_selector=f"app={name}").items
        revision = "deployment.kubernetes.io/revision"
        return [one.metadata.name for one in sorted(found, key=lambda one: int(one.metadata.annotations[revision]))]

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
    """A rule of a Role; resources and verbs are separated by blanks."""
    found: Document = {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}
    return found | ({"resourceNames": names} if names else {})


ENOUGH = (
    rule("apps", "deployments", "get patch"),
    rule("apps", "replicasets", "list"),
    rule("", "pods", "list"),
    rule("", "pods/proxy", "get"),
    rule("", "events", "list"),
)
"""All that a rollout needs, and nothing else."""


@contextmanager
def namespace(kubeconfig: Path) -> Iterator[Namespace]:
    """A new namespace, deleted at the end without waiting for that."""
    found = Namespace(kubeconfig, f"specialists-{uuid.uuid4().hex[:8]}")
    found.core.create_namespace({"metadata": {"name": found.name}})
    try:
        yield found
    finally:
        found.core.delete_namespace(found.name, _request_timeout=30)
        found.api.close()


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started
