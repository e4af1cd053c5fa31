"""Which pods belong to a Deployment's newest ReplicaSet, and why some of them are not ready."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

Object = dict[str, Any]
"""An object of Kubernetes, as its API server sends it."""

DEFAULT_PORT: Final = 8000
_PORT_NAME: Final = "http"
_REVISION: Final = "deployment.kubernetes.io/revision"
_OPERATORS: Final = {"In": "in", "NotIn": "notin"}
_ENDED: Final = ("Failed", "Succeeded")
_STARTING: Final = ("ContainerCreating", "PodInitializing")


def selector_of(deployment: Object) -> str:
    """The Deployment's own selector, in the form that a query takes."""
    selector = deployment["spec"]["selector"]
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    terms += map(_expression, selector.get("matchExpressions") or [])
    return ",".join(terms)


def _expression(expression: Object) -> str:
    key, operator = expression["key"], expression["operator"]
    if operator in _OPERATORS:
        return f"{key} {_OPERATORS[operator]} ({','.join(expression['values'])})"
    return str(key) if operator == "Exists" else f"!{key}"


def own_replica_sets(deployment: Object, replica_sets: Iterable[Object]) -> list[Object]:
    """The ReplicaSets of a Deployment, newest first."""
    own = [replica_set for replica_set in replica_sets if _owner(replica_set) == deployment["metadata"]["uid"]]
    return sorted(own, key=_revision, reverse=True)


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def pods_of(replica_set: Object | None, pods: Iterable[Object]) -> list[Object]:
    """The pods of a ReplicaSet by name, without those that are being deleted."""
    if replica_set is None:
        return []
    own = [pod for pod in pods if _owner(pod) == replica_set["metadata"]["uid"]]
    return sorted((pod for pod in own if not pod["metadata"].get("deletionTimestamp")), key=name_of)


def _owner(item: Object) -> str | None:
    references = item["metadata"].get("ownerReferences") or []
    return next((reference["uid"] for reference in references if reference.get("controller")), None)


def name_of(item: Object) -> str:
    """The name of any object."""
    return str(item["metadata"]["name"])


def has_ended(pod: Object) -> bool:
    """Whether its containers will never run again; Kubernetes lists evicted pods for a while beside the new ones."""
    return (pod.get("status") or {}).get("phase") in _ENDED


def is_ready(pod: Object) -> bool:
    """Whether the pod takes requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def port_of(pod: Object) -> int:
    """The port named http, else 8000."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    return next((int(port["containerPort"]) for port in ports if port.get("name") == _PORT_NAME), DEFAULT_PORT)


def not_ready_reasons(pods: Iterable[Object]) -> dict[str, str]:
    """Why pods are not ready: pod name -> `REASON (MESSAGE), ...`."""
    return {
        name_of(pod): ", ".join(dict.fromkeys(_reasons(pod.get("status") or {}))) or "it is running, but not ready"
        for pod in pods
        if not is_ready(pod)
    }


def _reasons(status: Object) -> Iterator[str]:
    if status.get("reason"):
        yield _with_message(status)
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield _with_message(condition)
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state, last_state = container.get("state", {}), container.get("lastState", {})
        waiting = state.get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _STARTING:
            yield _with_message(waiting)
        for terminated in filter(None, (state.get("terminated"), last_state.get("terminated"))):
            yield f"{terminated.get('reason') or 'ended'} with exit code {terminated.get('exitCode')}"


def _with_message(state: Object) -> str:
    message = " ".join(str(state.get("message") or "").split())
    return f"{state['reason']} ({message})" if message else str(state["reason"])


def warnings_about(items: Iterable[Object], events: Iterable[Object], *, limit: int = 5) -> list[str]:
    """The newest Warning events about these objects, each sentence once: `REASON: MESSAGE`."""
    uids = {item["metadata"]["uid"] for item in items}
    own = [event for event in events if (event.get("involvedObject") or {}).get("uid") in uids]
    own.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""), reverse=True)
    sentences = (f"{event.get('reason')}: {' '.join(str(event.get('message') or '').split())}" for event in own)
    return list(dict.fromkeys(sentences))[:limit]
