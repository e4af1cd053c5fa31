"""How far a Deployment has come with its newest pod template, judged as `kubectl rollout status` does."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

Object = dict[str, Any]

DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"
_COMPLETE: Final = "NewReplicaSetAvailable"


class Phase(StrEnum):
    """Whether there is still something to wait for."""

    WAITING = "waiting"
    COMPLETE = "complete"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True)
class Progress:
    """Where a Deployment is, and the figures that say so."""

    phase: Phase
    reason: str


def progress_of(deployment: Object) -> Progress:
    """What a Deployment's own status says of its rollout."""
    if deployment["spec"].get("paused"):
        return Progress(Phase.PAUSED, "it is paused")
    if not is_observed(deployment):
        return Progress(Phase.WAITING, "the controller has not seen the change yet")
    condition = _progressing(deployment)
    if condition.get("reason") == DEADLINE_EXCEEDED:
        return Progress(Phase.FAILED, str(condition.get("message") or DEADLINE_EXCEEDED))
    status, desired = deployment.get("status") or {}, desired_replicas(deployment)
    updated = status.get("updatedReplicas", 0)
    if updated < desired:
        return Progress(Phase.WAITING, f"{updated} of {desired} pods are new")
    if (old := status.get("replicas", 0) - updated) > 0:
        return Progress(Phase.WAITING, f"{old} old pods have not ended yet")
    if (available := status.get("availableReplicas", 0)) < updated:
        return Progress(Phase.WAITING, f"{available} of {updated} new pods are available")
    return Progress(Phase.COMPLETE, f"{available} of {desired} pods are new and available")


def is_observed(deployment: Object) -> bool:
    """Whether the status is about the Deployment as it is now."""
    seen = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= deployment["metadata"].get("generation", 0))


def in_motion(deployment: Object) -> bool:
    """Whether pods are being replaced just now.

    A Deployment that is stuck, or that lost a pod long after its rollout, is not: nobody should wait for it.
    """
    if progress_of(deployment).phase is not Phase.WAITING:
        return False
    return not is_observed(deployment) or _progressing(deployment).get("reason") != _COMPLETE


def desired_replicas(deployment: Object) -> int:
    """The number of pods that it is to have."""
    return int(deployment["spec"].get("replicas", 1))


def template_annotations(deployment: Object) -> dict[str, str]:
    """The annotations that its pods are made with."""
    return (deployment["spec"]["template"].get("metadata") or {}).get("annotations") or {}


def _progressing(deployment: Object) -> Object:
    conditions = (deployment.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == "Progressing"), {})
