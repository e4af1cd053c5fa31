"""Kubernetes: a short-lived client per use, a time limit on every call, and two kinds of errors.

`KubernetesUnavailable` may pass by itself; after `KubernetesRefused`, trying again does not help. Objects are plain
dictionaries, as the API server sends them.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from resources.errors import KubernetesRefused, KubernetesUnavailable, KubernetesUnknown

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.client.exceptions import ApiException

Object = dict[str, Any]

MAX_ANSWER_BYTES: Final = 64 * 1024
_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_ANOTHER_POD: Final = "Run this in a pod with the token of a ServiceAccount, as the Job for retraining by hand has one"
_TRANSIENT: Final = (408, 409, 429)
_NOT_AUTHENTICATED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500


class Kubernetes:
    """Access to the cluster that the specialists run in.

    Args:
        kubeconfig: the file that gives access; None if there is none.
        in_pod: whether this process runs in a pod; then the pod's ServiceAccount is used if there is no file.
        timeout_s: seconds until a silent API server is an error.
    """

    def __init__(self, *, kubeconfig: Path | None, in_pod: bool, timeout_s: float) -> None:
        self._kubeconfig = kubeconfig
        self._in_pod = in_pod
        self.timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"Kubernetes({self.address})"

    @property
    def configured(self) -> bool:
        """Whether there is a cluster at all."""
        return self._kubeconfig is not None or self._in_pod

    @property
    def has_access(self) -> bool:
        """Whether this process was given access. Most pods get no token, because they ask the API server nothing."""
        return self._kubeconfig is not None or (self._in_pod and _TOKEN.exists())

    @property
    def address(self) -> str:
        """Where the access comes from, in words that contain no secrets."""
        if self._kubeconfig is not None:
            return f"cluster of KUBECONFIG {self._kubeconfig}"
        return "cluster of this pod" if self._in_pod else "not configured"

    @contextmanager
    def cluster(self) -> Iterator["Cluster"]:
        """The cluster. Nothing is sent before the first call.

        Raises:
            KubernetesRefused: no cluster is configured, or the access to it cannot be read.
        """
        from kubernetes.client import ApiClient

        with ApiClient(self._configuration()) as api:
            yield Cluster(api, self.address, self._user(), self.timeout_s)

    def _configuration(self) -> "Configuration":
        from kubernetes import config
        from kubernetes.client import Configuration
        from kubernetes.config.config_exception import ConfigException
        from yaml import YAMLError

        configuration = Configuration()
        # The library's default repeats a call three times, each with the full time limit.
        configuration.retries = False
        try:
            if self._kubeconfig is not None:
                config.load_kube_config(str(self._kubeconfig), client_configuration=configuration, persist_config=False)
            elif self._in_pod:
                config.load_incluster_config(client_configuration=configuration)
            else:
                raise KubernetesRefused(
                    "no cluster is configured. Set KUBECONFIG to a file that gives access to one, or run this in a pod"
                )
        except (ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError) as error:
            remedy = "Check the file and its current context" if self._kubeconfig else _ANOTHER_POD
            raise KubernetesRefused(
                f"the access to Kubernetes cannot be used ({self.address}): {_one_line(error).rstrip('.')}. {remedy}"
            ) from None
        return configuration

    def _user(self) -> str:
        return "the user of KUBECONFIG's current context" if self._kubeconfig else "the ServiceAccount of this pod"


@dataclass(frozen=True)
class PodAnswer:
    """A pod's HTTP answer; the body ends at MAX_ANSWER_BYTES."""

    status: int
    body: bytes


class Cluster:
    """The few calls that a rollout needs. Each of them can raise both kinds of errors."""

    def __init__(self, api: "ApiClient", address: str, user: str, timeout_s: float) -> None:
        from kubernetes.client import AppsV1Api, CoreV1Api

        self._api = api
        self._apps = AppsV1Api(api)
        self._core = CoreV1Api(api)
        self._address = address
        self._user = user
        self._timeout_s = timeout_s

    def deployment(self, namespace: str, name: str) -> Object:
        """A Deployment."""
        action = _Action("get", f"Deployment {name}", namespace)
        return self._json(action, self._apps.read_namespaced_deployment, name, namespace)

    def annotate_template(self, namespace: str, name: str, annotations: Mapping[str, str]) -> Object:
        """Add annotations to a Deployment's pod template. A change of the template replaces the pods."""
        body = {"spec": {"template": {"metadata": {"annotations": dict(annotations)}}}}
        action = _Action("patch", f"Deployment {name}", namespace)
        return self._json(action, self._apps.patch_namespaced_deployment, name, namespace, body)

    def replica_sets(self, namespace: str, selector: str) -> list[Object]:
        """The ReplicaSets with these labels."""
        return self._items("ReplicaSets", self._apps.list_namespaced_replica_set, namespace, label_selector=selector)

    def pods(self, namespace: str, selector: str) -> list[Object]:
        """The pods with these labels."""
        return self._items("pods", self._core.list_namespaced_pod, namespace, label_selector=selector)

    def warnings(self, namespace: str) -> list[Object]:
        """The events of type Warning."""
        return self._items("events", self._core.list_namespaced_event, namespace, field_selector="type=Warning")

    def ask_pod(self, namespace: str, pod: str, port: int, path: str) -> PodAnswer | None:
        """GET from a pod through the API server's proxy. Whatever the pod answers is returned, HTTP errors too.

        None if no answer comes in time or it is cut off: that may be the pod's fault or the API server's.
        """
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import ProtocolError, ReadTimeoutError

        action = _Action("get", f"pods/proxy of {pod}", namespace)
        ask = self._core.connect_get_namespaced_pod_proxy_with_path

        def answer() -> PodAnswer | None:
            try:
                return _answer(ask(f"{pod}:{port}", namespace, path, **self._options))
            except (ReadTimeoutError, ProtocolError):
                return None

        try:
            reply: PodAnswer | None = self._sent(action, answer)
        except ApiException as error:
            # The proxy's own errors are objects of kind Status; the pod's are passed on unchanged.
            if error.status in (_NOT_AUTHENTICATED, _FORBIDDEN) and _status_message(error):
                raise self._error(action, error) from None
            return PodAnswer(int(error.status), _bytes(error.body)[:MAX_ANSWER_BYTES])
        return reply

    def call(self, method: str, path: str, body: Object | None = None) -> Object | None:
        """Any request to the API server; None if nothing is at this path."""
        options = {"header_params": {"Accept": "application/json"}, "auth_settings": ["BearerToken"], "body": body}
        try:
            return self._json(_Action(method.lower(), path, "*"), self._api.call_api, path, method, **options)
        except KubernetesUnknown:
            return None

    @property
    def _options(self) -> dict[str, Any]:
        return {"_preload_content": False, "_request_timeout": (self._timeout_s, self._timeout_s)}

    def _items(self, kind: str, call: Callable[..., Any], namespace: str, **options: object) -> list[Object]:
        return list(self._json(_Action("list", kind, namespace), call, namespace, **options)["items"])

    def _json(self, action: "_Action", call: Callable[..., Any], *arguments: object, **options: object) -> Object:
        from kubernetes.client.exceptions import ApiException

        try:
            body = self._sent(action, lambda: call(*arguments, **options, **self._options).data)
        except ApiException as error:
            raise self._error(action, error) from None
        try:
            document: Object = json.loads(body)
        except ValueError:
            raise KubernetesUnavailable(
                f"Kubernetes ({self._address}) answered a request to {action} with something that is not JSON. Check"
                " whether a proxy answers instead of the API server"
            ) from None
        return document

    def _sent(self, action: "_Action", call: Callable[[], Any]) -> Any:
        """Make a call; turn every failure of the connection into one error."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except AttributeError as error:
            # The client decodes the body of its own errors, and that of a broken TLS connection has none.
            if not isinstance(error.__context__, ApiException):
                raise
            raise self._error(action, error.__context__) from None
        except HTTPError as error:
            raise self._unreachable(action, _one_line(error)) from None

    def _unreachable(self, action: "_Action", reason: str) -> KubernetesUnavailable:
        return KubernetesUnavailable(
            f"Kubernetes ({self._address}) cannot be reached to {action}: {reason}. Check the address, the network, and"
            " whether the API server runs"
        )

    def _error(self, action: "_Action", error: "ApiException") -> Exception:
        message = _status_message(error) or _one_line(error.reason or "")
        status = int(error.status or 0)
        if status == 0 and "CERTIFICATE_VERIFY_FAILED" in message:
            return KubernetesRefused(f"the certificate of Kubernetes ({self._address}) is not trusted: {message}")
        if status == 0:
            return self._unreachable(action, message)
        if status in _TRANSIENT or status >= _SERVER_ERROR:
            return KubernetesUnavailable(f"Kubernetes ({self._address}) cannot {action} now (HTTP {status}): {message}")
        user = _user_in(message) or self._user
        if status == _NOT_AUTHENTICATED:
            return KubernetesRefused(
                f"Kubernetes ({self._address}) does not know {self._user}, so it refuses to {action}. Check the token"
                " or certificate: it is wrong or has expired"
            )
        if status == _FORBIDDEN:
            return KubernetesRefused(
                f"Kubernetes ({self._address}) does not allow {user} to {action} ({message}). Grant that right in a"
                f" Role in namespace {action.namespace}"
            )
        if status == _NOT_FOUND:
            return KubernetesUnknown(
                f"there is no {action.thing} in namespace {action.namespace} ({self._address}), so {user} cannot"
                f" {action.verb} it. Check SPECIALIST_NAMESPACE and SPECIALIST_DEPLOYMENT"
            )
        return KubernetesRefused(f"Kubernetes ({self._address}) refuses to {action} (HTTP {status}): {message}")


@dataclass(frozen=True)
class _Action:
    """What a call does, in the words of a Role."""

    verb: str
    thing: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.verb} {self.thing} in namespace {self.namespace}"


def _answer(response: Any) -> PodAnswer:
    try:
        return PodAnswer(response.status, response.read(MAX_ANSWER_BYTES))
    finally:
        # The rest of the answer is not read, so the connection cannot be used again.
        response.close()


def _status_message(error: "ApiException") -> str | None:
    """The message of the API server's own error; None if somebody else answered."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        return None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return None
    return str(status.get("message") or status.get("reason") or "no reason given")


def _user_in(message: str) -> str | None:
    match = re.search(r'[Uu]ser "([^"]+)"', message)
    return match[1] if match else None


def _bytes(body: str | bytes | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
