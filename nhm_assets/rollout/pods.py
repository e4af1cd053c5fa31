"""Which pods belong to a Deployment's newest ReplicaSet, and what keeps them from being ready."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

Object = dict[str, Any]

DEFAULT_PORT: Final = 8000
_PORT_NAME: Final = "http"
_REVISION: Final = "deployment.kubernetes.io/revision"
_OPERATORS: Final = {"In": "in", "NotIn": "notin"}
_NORMAL_WAITING: Final = ("ContainerCreating", "PodInitializing")


def selector_of(deployment: Object) -> str:
    """The Deployment's own selector, as the API takes it in a query."""
    selector = deployment["spec"]["selector"]
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    terms += [_expression(one) for one in selector.get("matchExpressions") or []]
    return ",".join(terms)


def _expression(one: Object) -> str:
    key, operator = one["key"], one["operator"]
    if operator in _OPERATORS:
        return f"{key} {_OPERATORS[operator]} ({','.join(one['values'])})"
    return str(key) if operator == "Exists" else f"!{key}"


def own_replica_sets(deployment: Object, replica_sets: Iterable[Object]) -> list[Object]:
    """The ReplicaSets of a Deployment, the newest first."""
    own = [one for one in replica_sets if _owner(one) == deployment["metadata"]["uid"]]
    return sorted(own, key=_revision, reverse=True)


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(_REVISION, 0))


def pods_of(replica_set: Object | None, pods: Iterable[Object]) -> list[Object]:
    """The pods of a ReplicaSet that are not on their way out, by name."""
    if replica_set is None:
        return []
    own = [one for one in pods if _owner(one) == replica_set["metadata"]["uid"]]
    return sorted((one for one in own if not one["metadata"].get("deletionTimestamp")), key=name_of)


def _owner(thing: Object) -> str | None:
    references = thing["metadata"].get("ownerReferences") or []
    return next((one["uid"] for one in references if one.get("controller")), None)


def name_of(thing: Object) -> str:
    """The name of anything in Kubernetes."""
    return str(thing["metadata"]["name"])


def is_ready(pod: Object) -> bool:
    """Whether the pod takes requests."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def port_of(pod: Object) -> int:
    """The port named http, else 8000."""
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    return next((int(one["containerPort"]) for one in ports if one.get("name") == _PORT_NAME), DEFAULT_PORT)


def troubles(pods: Iterable[Object]) -> list[str]:
    """Why pods are not ready, one sentence each: `POD: REASON (MESSAGE)`."""
    found = []
    for pod in pods:
        if not is_ready(pod):
            reasons = list(dict.fromkeys(_reasons(pod.get("status") or {}))) or ["it is running, but not ready"]
            found.append(f"{name_of(pod)}: {', '.join(reasons)}")
    return found


def _reasons(status: Object) -> Iterator[str]:
    if status.get("reason"):
        yield _with_message(status)
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield _with_message(condition)
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _NORMAL_WAITING:
            yield _with_message(waiting)
        for state in (container.get("state", {}), container.get("lastState", {})):
            if ended := state.get("terminated"):
                yield f"{ended.get('reason') or 'ended'} with exit code {ended.get('exitCode')}"


def _with_message(state: Object) -> str:
    message = " ".join(str(state.get("message") or "").split())
    return f"{state['reason']} ({message})" if message else str(state["reason"])


def warnings_about(things: Iterable[Object], events: Iterable[Object], *, most: int = 5) -> list[str]:
    """The newest Warning events on these objects, `REASON: MESSAGE`, each sentence once."""
    uids = {one["metadata"]["uid"] for one in things}
    own = [one for one in events if (one.get("involvedObject") or {}).get("uid") in uids]
    own.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""), reverse=True)
    sentences = (f"{one.get('reason')}: {' '.join(str(one.get('message') or '').split())}" for one in own)
    return list(dict.fromkeys(sentences))[:most]
