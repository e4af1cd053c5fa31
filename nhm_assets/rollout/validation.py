"""Whether all five specialists have their models loaded; where not, why that may be and where to look."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from nhm_assets.rollout.markdown import shown
from nhm_assets.rollout.serving import Expected, PodVerdict, Serving
from nhm_assets.rollout.status_probe import pods_serving
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused
from resources.kubernetes import Cluster


@dataclass(frozen=True)
class Hint:
    """A likely cause, and the command that shows more."""

    cause: str
    command: str


@dataclass(frozen=True)
class Validated:
    """What one specialist has loaded.

    Attributes:
        serving: what its pods said; None where they could not be asked.
        fault: what is wrong beside the pods; None where nothing is.
    """

    target: Target
    serving: Serving | None
    fault: str | None

    @property
    def loaded(self) -> bool:
        """Whether every pod has its model loaded, and there is one to load."""
        return self.fault is None and self.serving is not None and self.serving.loaded

    @property
    def proven(self) -> bool:
        """Whether every pod names the version in Production besides."""
        return self.loaded and self.serving is not None and self.serving.proven

    @property
    def pods(self) -> tuple[PodVerdict, ...]:
        """The verdicts on its pods."""
        return self.serving.pods if self.serving else ()

    @property
    def reason(self) -> str:
        """The whole verdict in a sentence."""
        return self.fault or (self.serving.reason if self.serving else "nobody was asked")


def validate(cluster: Cluster, targets: Sequence[Target], versions: Mapping[str, Expected | None]) -> list[Validated]:
    """Ask the pods of all specialists, side by side.

    Args:
        cluster: where they are.
        targets: the specialists.
        versions: by specialist, what is in Production; None where no version is.

    Raises:
        KubernetesUnavailable: the API server does not answer.
    """

    def ask(target: Target) -> Validated:
        expected = versions[target.specialist]
        try:
            serving = pods_serving(cluster, target, expected or Expected(target.specialist, None, None), patient=False)
        except KubernetesRefused as error:
            return Validated(target, None, str(error))
        missing = f"no version of its model is in Production, so {target.specialist} has nothing to load"
        return Validated(target, serving, None if expected else missing)

    with ThreadPoolExecutor(len(targets)) as threads:
        return list(threads.map(ask, targets))


def summary(values: Sequence[object]) -> str:
    """One value for all pods: the value where they agree, else how many say what."""
    said = [value if isinstance(value, str) else shown(value) for value in values]  # type: ignore[arg-type]
    kinds = list(dict.fromkeys(said))
    if len(kinds) < 2:
        return kinds[0] if kinds else "?"
    return ", ".join(f"{kind} on {said.count(kind)} of {len(said)} pods" for kind in kinds)


def hints(one: Validated) -> list[Hint]:
    """Likely causes of a specialist's fault, the likeliest first."""
    namespace, name = f"kubectl -n {one.target.namespace}", one.target.deployment
    if one.serving is None:
        return [
            Hint(
                "the Deployment has another name or namespace, or the right to see it is missing",
                f"{namespace} get deployments,pods",
            )
        ]
    found = []
    if one.fault:
        found.append(Hint("no candidate has passed the gate yet, or somebody archived the version", "nhm status"))
    if not one.pods:
        found.append(
            Hint(
                "the Deployment is scaled to no replicas, or its pods cannot be made",
                f"{namespace} describe deployment/{name}",
            )
        )
    for pod in one.pods:
        found += [
            Hint(cause, command.format(kubectl=namespace, pod=pod.pod, name=name))
            for cause, command in _causes(pod, one.serving.expected)
        ]
    by_cause = {hint.cause: hint for hint in reversed(found)}
    return list(reversed(by_cause.values()))


_NOT_READY = ("the pod cannot start, or is starting still", "{kubectl} describe pod/{pod}")
_NO_ANSWER = (
    "the specialist hangs or is starting still, or listens on another port than the one named http (else 8000)",
    "{kubectl} logs {pod} --tail=100",
)
_NO_MLFLOW = (
    "the Deployment's MLFLOW_TRACKING_URI is wrong, a NetworkPolicy is in the way, or MLflow refuses that host name",
    "{kubectl} get deployment/{name} -o yaml | grep -A2 MLFLOW_TRACKING_URI",
)
_NO_MODEL = (
    "no version was in Production when the pod started, or its files cannot be read there, or scikit-learn is another",
    "{kubectl} logs {pod} --tail=100 | grep -i -E 'mlflow|model'",
)
_OTHER_MODEL = (
    "the pod started before the promotion and was not restarted since, or is another service",
    "{kubectl} rollout history deployment/{name}",
)


def _causes(pod: PodVerdict, expected: Expected) -> list[tuple[str, str]]:
    if pod.loaded:
        return []
    if any(fault.startswith("it is not ready") for fault in pod.faults):
        return [_NOT_READY]
    if pod.model_loaded is None and pod.status is None:
        return [_NO_ANSWER]
    found = [_NO_MLFLOW] if pod.mlflow_connected is not True else []
    found += [_NO_MODEL] if pod.model_loaded is not True else []
    return found + ([_OTHER_MODEL] if pod.version not in (None, expected.version) or not found else [])


def as_json(one: Validated) -> dict[str, Any]:
    """The entry of `nhm validate --json` for one specialist."""
    return {
        "specialist": one.target.specialist,
        "deployment": one.target.deployment,
        "version_in_production": one.serving.expected.version if one.serving else None,
        "loaded": one.loaded,
        "proven": one.proven,
        "reason": one.reason,
        "pods": [
            {
                "pod": pod.pod,
                "model_loaded": pod.model_loaded,
                "mlflow_connected": pod.mlflow_connected,
                "status": pod.status,
                "version": pod.version,
                "loaded": pod.loaded,
                "proven": pod.proven,
                "faults": list(pod.faults),
            }
            for pod in one.pods
        ],
        "likely_causes": [] if one.loaded else [{"cause": hint.cause, "command": hint.command} for hint in hints(one)],
    }
