"""Whether all specialists have their models loaded; if not, the likely causes and where to look."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from nhm_assets.rollout.serving import NOT_READY, SERVING, Expected, PodVerdict, Serving, show_flag
from nhm_assets.rollout.status_probe import ask_pods
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused

Cause = tuple[str, str]
"""A likely cause, and the command that shows more."""

_WRONG_NAME: Final = (
    "the Deployment has another name or namespace, or we lack the right to see it",
    "{kubectl} get deployments,pods",
)
_NO_VERSION: Final = ("no candidate has passed the gate yet, or somebody archived the version", "nhm status")
_NO_PODS: Final = (
    "the Deployment is scaled to 0 replicas, or its pods cannot be created",
    "{kubectl} describe deployment/{deployment}",
)
_NOT_STARTED: Final = ("the pod cannot start, or is still starting", "{kubectl} describe pod/{pod}")
_NO_ANSWER: Final = (
    "the specialist hangs or is still starting, or it listens on another port than the one named http (else 8000)",
    "{kubectl} logs {pod} --tail=100",
)
_NO_MLFLOW: Final = (
    "the Deployment's MLFLOW_TRACKING_URI is wrong, a NetworkPolicy blocks it, or MLflow rejects that host name",
    "{kubectl} get deployment/{deployment} -o yaml | grep -A2 MLFLOW_TRACKING_URI",
)
_NO_MODEL: Final = (
    "no version was in Production when the pod started, or its files or its scikit-learn version cannot be used there",
    "{kubectl} logs {pod} --tail=100 | grep -i -E 'mlflow|model'",
)
_NOT_SERVING: Final = (
    "the pod has not finished starting, or something else that it needs is away, such as its ledger",
    "{kubectl} logs {pod} --tail=100",
)
_OTHER_MODEL: Final = (
    "the pod started before the promotion and was not restarted since, or it is another service",
    "{kubectl} rollout history deployment/{deployment}",
)


@dataclass(frozen=True)
class Validation:
    """What one specialist has loaded.

    Attributes:
        serving: what its pods report; None if they could not be asked.
        fault: what is wrong apart from the pods; None if nothing is.
    """

    target: Target
    serving: Serving | None
    fault: str | None

    @property
    def loaded(self) -> bool:
        """Whether there is a model to load, and every pod has it loaded."""
        return self.fault is None and self.serving is not None and self.serving.loaded

    @property
    def proven(self) -> bool:
        """Whether, in addition, every pod names the version in Production."""
        return self.loaded and self.serving is not None and self.serving.proven

    @property
    def pods(self) -> tuple[PodVerdict, ...]:
        """The verdicts on its pods."""
        return self.serving.pods if self.serving else ()

    @property
    def reason(self) -> str:
        """The verdict in one sentence."""
        return self.fault or (self.serving.reason if self.serving else "its pods were not asked")

    def likely_causes(self) -> dict[str, str]:
        """Likely causes, the most likely first, each with the command that shows more; none if all is well."""
        causes: dict[str, str] = {}
        for pod, (cause, command) in [] if self.loaded else self._causes():
            names = {"kubectl": f"kubectl -n {self.target.namespace}", "deployment": self.target.deployment}
            causes.setdefault(cause, command.format(**names, pod=pod))
        return causes

    def _causes(self) -> Iterator[tuple[str, Cause]]:
        if self.serving is None:
            yield "", _WRONG_NAME
            return
        if self.fault:
            yield "", _NO_VERSION
        if not self.pods:
            yield "", _NO_PODS
        for pod in self.pods:
            yield from ((pod.pod, cause) for cause in _causes_in(pod, self.serving.expected))

    def as_json(self) -> dict[str, Any]:
        """The entry of `nhm validate --json`."""
        fields = ("pod", "model_loaded", "mlflow_connected", "status", "version", "loaded", "proven", "faults")
        return {
            "specialist": self.target.specialist,
            "deployment": self.target.deployment,
            "version_in_production": self.serving.expected.version if self.serving else None,
            "loaded": self.loaded,
            "proven": self.proven,
            "reason": self.reason,
            "pods": [{name: getattr(pod, name) for name in fields} for pod in self.pods],
            "likely_causes": [{"cause": cause, "command": command} for cause, command in self.likely_causes().items()],
        }


_AT_ONCE: Final = 32
"""Requests to the API server: it slows down whoever sends hundreds."""


def validate(targets: Sequence[Target], versions: Mapping[str, Expected | None]) -> list[Validation]:
    """Ask the pods of all specialists, in parallel.

    Args:
        targets: the specialists.
        versions: what is in Production, by specialist; None if no version is.

    Raises:
        KubernetesUnavailable: the API server does not answer.
    """

    def ask(target: Target) -> Validation:
        expected = versions[target.specialist]
        try:
            serving = ask_pods(target, expected or Expected(target.specialist, None, None), wait=False)
        except KubernetesRefused as error:
            return Validation(target, None, str(error))
        missing = f"no version of its model is in Production, so {target.specialist} has nothing to load"
        return Validation(target, serving, None if expected else missing)

    with ThreadPoolExecutor(min(len(targets), _AT_ONCE)) as threads:
        return list(threads.map(ask, targets))


def summary(values: Sequence[bool | str | None]) -> str:
    """The value on which all pods agree, else how many pods report which."""
    texts = [value if isinstance(value, str) else show_flag(value) for value in values]
    distinct = list(dict.fromkeys(texts))
    if len(distinct) < 2:
        return distinct[0] if distinct else "?"
    return ", ".join(f"{text} on {texts.count(text)} of {len(texts)} pods" for text in distinct)


def _causes_in(pod: PodVerdict, expected: Expected) -> list[Cause]:
    if pod.loaded:
        return []
    if any(fault.startswith(NOT_READY) for fault in pod.faults):
        return [_NOT_STARTED]
    if pod.model_loaded is None and pod.status is None:
        return [_NO_ANSWER]
    causes = [] if pod.mlflow_connected else [_NO_MLFLOW]
    causes += [] if pod.model_loaded else [_NO_MODEL]
    is_other = pod.version not in (None, expected.version)
    if not causes and not pod.lacks_version and pod.status != SERVING:
        return [_NOT_SERVING]
    return causes + ([_OTHER_MODEL] if is_other or not causes else [])
