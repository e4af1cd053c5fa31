"""Asks the pods of a specialist what they have loaded, all at once and never for longer than allowed."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from nhm_assets.rollout.pods import is_ready, name_of, own_replica_sets, pods_of, port_of, selector_of, troubles
from nhm_assets.rollout.serving import Answer, Expected, PodVerdict, Serving, judge_answer
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused, KubernetesUnavailable, ServiceError
from resources.kubernetes import MAX_ANSWER_BYTES, Cluster

Object = dict[str, Any]
Ask = Callable[[Object], Answer]

_POLL_S: Final = 1.0
_PATH: Final = "status"


def pods_serving(cluster: Cluster, target: Target, expected: Expected, *, patient: bool = True) -> Serving:
    """Ask every pod of the newest ReplicaSet; a pod that is not ready is not asked, and does not serve.

    Args:
        cluster: where the pods are.
        target: whose pods they are.
        expected: what they are to have loaded.
        patient: ask again until MODEL_LOAD_TIMEOUT_S are over, as a pod may be ready before its model is loaded.

    Raises:
        KubernetesUnavailable: the API server does not answer, so that nothing is known of the pods.
        KubernetesRefused: we may not see or ask them.
    """
    deadline = time.monotonic() + target.load_s
    while True:
        serving = Serving(expected, _verdicts(cluster, target, expected))
        if serving.loaded or not patient or time.monotonic() > deadline:
            if not serving.loaded:
                # Raises where the pods look silent because the API server is.
                cluster.deployment(target.namespace, target.deployment)
            return serving
        time.sleep(_POLL_S)


def _verdicts(cluster: Cluster, target: Target, expected: Expected) -> tuple[PodVerdict, ...]:
    deployment = cluster.deployment(target.namespace, target.deployment)
    selector = selector_of(deployment)
    newest = next(iter(own_replica_sets(deployment, cluster.replica_sets(target.namespace, selector))), None)
    pods = pods_of(newest, cluster.pods(target.namespace, selector))
    answers = dict(zip(map(name_of, pods), _ask_all(pods, _way(cluster, target), target.answer_s), strict=True))
    verdicts = tuple(judge_answer(pod, answer, expected) for pod, answer in answers.items())
    if target.status_url is None or "{pod_ip}" in target.status_url or len(verdicts) == 1:
        return verdicts
    # One address for all: which pod answered, nobody knows.
    return tuple(replace(one, proven=False) for one in verdicts)


def _way(cluster: Cluster, target: Target) -> Ask:
    if target.status_url is None:
        return lambda pod: _through_proxy(cluster, target.namespace, pod)
    url = target.status_url.replace("{specialist}", target.specialist)
    return lambda pod: _directly(url.replace("{pod_ip}", str((pod.get("status") or {}).get("podIP"))), target.answer_s)


def _through_proxy(cluster: Cluster, namespace: str, pod: Object) -> Answer:
    found = cluster.ask_pod(namespace, name_of(pod), port_of(pod), _PATH)
    if found is None:
        return Answer(fault="it did not answer in time, or its answer broke off")
    return Answer(found.status, found.body)


def _directly(url: str, timeout_s: float) -> Answer:
    from urllib3 import PoolManager, Timeout
    from urllib3.exceptions import HTTPError

    with PoolManager(retries=False, timeout=Timeout(total=timeout_s)) as http:
        try:
            response = http.request("GET", url, preload_content=False)
            body = response.read(MAX_ANSWER_BYTES)
            response.close()
        except HTTPError as error:
            return Answer(fault=f"{url} does not answer: {' '.join(str(error).split())[:200]}")
        return Answer(response.status, body)


def _ask_all(pods: Sequence[Object], ask: Ask, timeout_s: float) -> list[Answer]:
    """One answer a pod. Time limits of the network alone do not end an answer that comes byte by byte."""
    found: dict[int, Answer | ServiceError] = {}

    def work(number: int, pod: Object) -> None:
        try:
            found[number] = ask(pod)
        except (KubernetesRefused, KubernetesUnavailable) as error:
            found[number] = error

    deadline = time.monotonic() + timeout_s
    asked = [(number, pod) for number, pod in enumerate(pods) if is_ready(pod)]
    threads = [threading.Thread(target=work, args=one, daemon=True, name=f"asks {name_of(one[1])}") for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [_answer(pod, found.get(number), timeout_s) for number, pod in enumerate(pods)]


def _answer(pod: Object, found: Answer | ServiceError | None, timeout_s: float) -> Answer:
    if isinstance(found, ServiceError):
        raise found
    if not is_ready(pod):
        return Answer(fault=f"it is not ready ({troubles([pod])[0].partition(': ')[2]})")
    return found or Answer(fault=f"it did not answer in {timeout_s:g} s (KUBERNETES_TIMEOUT_S)")
