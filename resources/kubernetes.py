"""Kubernetes: one short-lived client a use, a time limit on every call, and errors of two kinds.

An error that may pass (`KubernetesUnavailable`) is told from one that trying again does not mend
(`KubernetesRefused`). Objects are handed out as the plain dictionaries that the API server sends.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from resources.errors import KubernetesRefused, KubernetesUnavailable

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.client.exceptions import ApiException

Object = dict[str, Any]

MAX_ANSWER_BYTES: Final = 64 * 1024
_PASSING: Final = (408, 409, 429)
_NOT_AUTHENTICATED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500


class Kubernetes:
    """The cluster that the specialists run in.

    Args:
        kubeconfig: file that gives access; None where there is none.
        in_pod: whether this process runs in a pod, whose ServiceAccount is used where there is no file.
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
    def address(self) -> str:
        """Where the access comes from, as it may be shown."""
        if self._kubeconfig is not None:
            return f"cluster of KUBECONFIG {self._kubeconfig}"
        return "cluster of this pod" if self._in_pod else "not configured"

    @contextmanager
    def cluster(self) -> Iterator["Cluster"]:
        """The cluster; nothing is sent before the first call.

        Raises:
            KubernetesRefused: there is no cluster, or its access cannot be read.
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
        # The library's own would repeat a call three times, each with the full time limit.
        configuration.retries = False
        try:
            if self._kubeconfig is not None:
                config.load_kube_config(str(self._kubeconfig), client_configuration=configuration, persist_config=False)
            elif self._in_pod:
                config.load_incluster_config(client_configuration=configuration)
            else:
                raise KubernetesRefused(
                    "no cluster is configured: set KUBECONFIG to a file that gives access to it, or run this in a pod"
                )
        except (ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError) as error:
            raise KubernetesRefused(
                f"the access to Kubernetes cannot be used ({self.address}): {_one_line(error).rstrip('.')}. Check the"
                " file and the context that it names as current"
            ) from None
        return configuration

    def _user(self) -> str:
        return "the user of KUBECONFIG's current context" if self._kubeconfig else "the ServiceAccount of this pod"


@dataclass(frozen=True)
class PodAnswer:
    """What a pod answered over HTTP; the body is cut off at MAX_ANSWER_BYTES."""

    status: int
    body: bytes


class Cluster:
    """The few calls that a rollout needs. Every one of them can raise the two errors of this module."""

    def __init__(self, api: "ApiClient", address: str, user: str, timeout_s: float) -> None:
        self._api = api
        self._address = address
        self._user = user
        self._timeout_s = timeout_s

    def deployment(self, namespace: str, name: str) -> Object:
        """A Deployment."""
        from kubernetes.client import AppsV1Api

        what = _What("get", f"Deployment {name}", namespace)
        return self._json(what, AppsV1Api(self._api).read_namespaced_deployment, name, namespace)

    def annotate_template(self, namespace: str, name: str, annotations: Mapping[str, str]) -> Object:
        """Add annotations to a Deployment's pod template, which replaces its pods unless they are there already."""
        from kubernetes.client import AppsV1Api

        body = {"spec": {"template": {"metadata": {"annotations": dict(annotations)}}}}
        what = _What("patch", f"Deployment {name}", namespace)
        return self._json(what, AppsV1Api(self._api).patch_namespaced_deployment, name, namespace, body)

    def replica_sets(self, namespace: str, selector: str) -> list[Object]:
        """The ReplicaSets with these labels."""
        from kubernetes.client import AppsV1Api

        what = _What("list", "ReplicaSets", namespace)
        listed = self._json(what, AppsV1Api(self._api).list_namespaced_replica_set, namespace, label_selector=selector)
        return list(listed["items"])

    def pods(self, namespace: str, selector: str) -> list[Object]:
        """The pods with these labels."""
        from kubernetes.client import CoreV1Api

        what = _What("list", "pods", namespace)
        listed = self._json(what, CoreV1Api(self._api).list_namespaced_pod, namespace, label_selector=selector)
        return list(listed["items"])

    def warnings(self, namespace: str) -> list[Object]:
        """The events of type Warning."""
        from kubernetes.client import CoreV1Api

        what = _What("list", "events", namespace)
        listed = self._json(what, CoreV1Api(self._api).list_namespaced_event, namespace, field_selector="type=Warning")
        return list(listed["items"])

    def ask_pod(self, namespace: str, pod: str, port: int, path: str) -> PodAnswer | None:
        """GET from a pod through the API server's proxy; whatever the pod answers is an answer, errors too.

        None where nothing comes in time, or the answer breaks off: from here a pod that does so and an API server
        that does look the same.
        """
        from kubernetes.client import CoreV1Api
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import ProtocolError, ReadTimeoutError

        what = _What("get", f"pods/proxy of {pod}", namespace)
        ask = CoreV1Api(self._api).connect_get_namespaced_pod_proxy_with_path

        def answer() -> PodAnswer | None:
            try:
                return _answer(ask(f"{pod}:{port}", namespace, path, **self._options))
            except (ReadTimeoutError, ProtocolError):
                return None

        try:
            found: PodAnswer | None = self._sent(what, answer)
        except ApiException as error:
            # The proxy's own errors come as an object of kind Status; the pod's come as they are.
            if error.status in (_NOT_AUTHENTICATED, _FORBIDDEN) and _status_message(error):
                raise self._error(what, error) from None
            return PodAnswer(int(error.status), _bytes(error.body)[:MAX_ANSWER_BYTES])
        return found

    @property
    def _options(self) -> dict[str, Any]:
        return {"_preload_content": False, "_request_timeout": (self._timeout_s, self._timeout_s)}

    def _json(self, what: "_What", call: Callable[..., Any], *arguments: object, **options: object) -> Object:
        from kubernetes.client.exceptions import ApiException

        try:
            body = self._sent(what, lambda: call(*arguments, **options, **self._options).data)
        except ApiException as error:
            raise self._error(what, error) from None
        try:
            found: Object = json.loads(body)
        except ValueError:
            raise KubernetesUnavailable(
                f"Kubernetes ({self._address}) answered a request to {what} with something that is not JSON: a proxy"
                " on the way, perhaps"
            ) from None
        return found

    def _sent(self, what: "_What", call: Callable[[], Any]) -> Any:
        """Make a call; what comes of an API server that is not there, or not there any more, is one error."""
        from urllib3.exceptions import HTTPError

        try:
            return call()
        except HTTPError as error:
            raise KubernetesUnavailable(
                f"Kubernetes ({self._address}) cannot be reached to {what}: {_one_line(error)}. Check the address, the"
                " network and whether the API server runs"
            ) from None

    def _error(self, what: "_What", error: "ApiException") -> Exception:
        said = _status_message(error) or _one_line(error.reason or "")
        status = int(error.status or 0)
        if status == 0 and "CERTIFICATE_VERIFY_FAILED" in said:
            return KubernetesRefused(f"the certificate of Kubernetes ({self._address}) is not trusted: {said}")
        if status == 0 or status in _PASSING or status >= _SERVER_ERROR:
            return KubernetesUnavailable(f"Kubernetes ({self._address}) cannot {what} now (HTTP {status}): {said}")
        user = _user_in(said) or self._user
        if status == _NOT_AUTHENTICATED:
            return KubernetesRefused(
                f"Kubernetes ({self._address}) does not know {self._user}, so it does not {what}: its token or"
                " certificate is wrong or has expired"
            )
        if status == _FORBIDDEN:
            return KubernetesRefused(
                f"Kubernetes ({self._address}) does not let {user} {what}: give it that right in a Role of the"
                f" namespace {what.namespace} ({said})"
            )
        if status == _NOT_FOUND:
            return KubernetesRefused(
                f"there is no {what.thing} in namespace {what.namespace} ({self._address}), so {user} cannot"
                f" {what.verb} it: check SPECIALIST_NAMESPACE and SPECIALIST_DEPLOYMENT"
            )
        return KubernetesRefused(f"Kubernetes ({self._address}) refuses to {what} (HTTP {status}): {said}")


@dataclass(frozen=True)
class _What:
    """What a call wants, in the words of a Role."""

    verb: str
    thing: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.verb} {self.thing} in namespace {self.namespace}"


def _answer(response: Any) -> PodAnswer:
    try:
        return PodAnswer(response.status, response.read(MAX_ANSWER_BYTES))
    finally:
        # What lies beyond the limit is not read, so the connection is of no further use.
        response.close()


def _status_message(error: "ApiException") -> str | None:
    """The sentence of the API server's own error; None where the error is not its own."""
    try:
        found = json.loads(error.body or "")
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("kind") != "Status":
        return None
    return str(found.get("message") or found.get("reason") or "no reason given")


def _user_in(message: str) -> str | None:
    found = re.search(r'[Uu]ser "([^"]+)"', message)
    return found[1] if found else None


def _bytes(body: str | bytes | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
