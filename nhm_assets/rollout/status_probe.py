"""Asks a specialist's pods what they have loaded: all at once, and with a time limit."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nhm_assets.registry.versions import version_if_any
from nhm_assets.rollout.pods import Object, has_ended, is_ready, name_of, not_ready_reasons, port_of
from nhm_assets.rollout.serving import NOT_READY, Answer, Expected, PodVerdict, Serving, judge_answer
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused, KubernetesUnavailable, ServiceError
from resources.kubernetes import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from mlflow import MlflowClient

_POLL_S: Final = 1.0
_PATH: Final = "status"


def ask_for_version(target: Target, client: "MlflowClient", model: str, version: str) -> Serving:
    """Ask the pods whether they serve this version of the registered model."""
    registered = version_if_any(client, model, version)
    return ask_pods(target, Expected(target.specialist, version, (registered and registered.run_id) or None))


def ask_pods(target: Target, expected: Expected, *, wait: bool = True) -> Serving:
    """Ask every ready pod of the newest ReplicaSet; a pod that is not ready cannot be asked.

    Args:
        target: the specialist to ask.
        expected: what its pods should have loaded.
        wait: ask again for up to MODEL_LOAD_TIMEOUT_S, since a pod may be ready before its model is loaded.

    Raises:
        KubernetesUnavailable: the API server does not answer, so nothing is known about the pods.
        KubernetesRefused: we are not allowed to see or ask them.
    """
    deadline = time.monotonic() + (target.load_timeout_s if wait else 0)
    while True:
        serving = Serving(expected, _verdicts(target, expected))
        if serving.loaded:
            return serving
        if time.monotonic() >= deadline:
            # Pods also look silent while the API server is down; then this call raises.
            target.read()
            return serving
        time.sleep(_POLL_S)


def _verdicts(target: Target, expected: Expected) -> tuple[PodVerdict, ...]:
    _, listed = target.newest_pods(target.read())
    pods = [pod for pod in listed if not has_ended(pod)]
    answers = zip(pods, _answers(target, pods), strict=True)
    verdicts = tuple(judge_answer(name_of(pod), answer, expected) for pod, answer in answers)
    if target.status_url is None or "{pod_ip}" in target.status_url or len(verdicts) == 1:
        return verdicts
    # With one address for all pods, nobody knows which of them answered.
    return tuple(replace(verdict, proven=False) for verdict in verdicts)


def _answers(target: Target, pods: Sequence[Object]) -> list[Answer]:
    """One answer per pod. Threads, because the network's time limits do not end an answer that comes byte by byte."""
    results: dict[str, Answer | ServiceError] = {}

    def ask(pod: Object) -> None:
        try:
            results[name_of(pod)] = _ask(target, pod)
        except (KubernetesRefused, KubernetesUnavailable) as error:
            results[name_of(pod)] = error

    deadline = time.monotonic() + target.answer_timeout_s
    threads = [
        threading.Thread(target=ask, args=[pod], daemon=True, name=f"asks {name_of(pod)}")
        for pod in filter(is_ready, pods)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = _late(target.answer_timeout_s)
    not_ready = {name: Answer(fault=f"{NOT_READY} ({why})") for name, why in not_ready_reasons(pods).items()}
    answers = []
    for name in map(name_of, pods):
        result = not_ready.get(name) or results.get(name, late)
        if isinstance(result, ServiceError):
            raise result
        answers.append(result)
    return answers


def _late(timeout_s: float) -> Answer:
    return Answer(fault=f"it did not answer within {timeout_s:g} s (KUBERNETES_TIMEOUT_S)")


def _ask(target: Target, pod: Object) -> Answer:
    if target.status_url is None:
        reply = target.cluster.ask_pod(target.namespace, name_of(pod), port_of(pod), _PATH)
        if reply is None:
            return Answer(fault="it did not answer in time, or its answer was cut off")
        return Answer(reply.status, reply.body)
    pod_ip = str((pod.get("status") or {}).get("podIP"))
    url = target.status_url.replace("{specialist}", target.specialist).replace("{pod_ip}", pod_ip)
    return _ask_directly(url, target.answer_timeout_s)


def _ask_directly(url: str, timeout_s: float) -> Answer:
    from urllib3 import PoolManager, Timeout
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

    with PoolManager(retries=False, timeout=Timeout(total=timeout_s)) as http:
        try:
            response = http.request("GET", url, preload_content=False)
            body = response.read(MAX_ANSWER_BYTES)
            response.close()
        except Urllib3TimeoutError:
            return _late(timeout_s)
        except HTTPError as error:
            return Answer(fault=f"{url} does not answer: {' '.join(str(error).split())[:200]}")
        return Answer(response.status, body)
