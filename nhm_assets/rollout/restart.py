"""Restarts a Deployment as `kubectl rollout restart` does, and waits as `kubectl rollout status` does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar

from nhm_assets.domain.errors import RolloutFailed, RolloutRefused
from nhm_assets.rollout.pods import Object, has_ended, name_of, not_ready_reasons, warnings_about
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused, KubernetesUnavailable

T = TypeVar("T")

RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
VERSION: Final = "nhm/model-version"
RUN_ID: Final = "nhm/dagster-run-id"
"""Annotations of the pod template: when, for which version and by which Dagster run the pods were restarted."""

ROLLED_OUT: Final = "rolled out"
ALREADY_RUNNING: Final = "already running"
NO_REPLICAS: Final = "no replicas"

_POLL_S: Final = 1.0
_SETTLING_S: Final = 30.0
"""How long an API server that was down may refuse what it allows, because it has not loaded Roles and accounts yet."""
_DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"
_COMPLETE: Final = "NewReplicaSetAvailable"


class Phase(StrEnum):
    """How far a Deployment's rollout is."""

    WAITING = "waiting"
    COMPLETE = "complete"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True)
class Progress:
    """The phase of a rollout, and the figures that show it."""

    phase: Phase
    reason: str


def progress_of(deployment: Object) -> Progress:
    """How far a Deployment's rollout is, judged by the same conditions as `kubectl rollout status`."""
    if deployment["spec"].get("paused"):
        return Progress(Phase.PAUSED, "it is paused")
    if not _is_observed(deployment):
        return Progress(Phase.WAITING, "the controller has not seen the change yet")
    condition = _progressing(deployment)
    if condition.get("reason") == _DEADLINE_EXCEEDED:
        return Progress(Phase.FAILED, str(condition.get("message") or _DEADLINE_EXCEEDED))
    status, desired = deployment.get("status") or {}, desired_replicas(deployment)
    updated = status.get("updatedReplicas", 0)
    if updated < desired:
        return Progress(Phase.WAITING, f"{updated} of {desired} pods are new")
    if (old := status.get("replicas", 0) - updated) > 0:
        return Progress(Phase.WAITING, f"{old} old pods are still terminating")
    if (available := status.get("availableReplicas", 0)) < updated:
        return Progress(Phase.WAITING, f"{available} of {updated} new pods are available")
    return Progress(Phase.COMPLETE, f"{available} of {desired} pods are new and available")


def is_in_motion(deployment: Object) -> bool:
    """Whether pods are being replaced right now.

    False for a Deployment that is stuck, or that lost a pod long after its rollout: nobody should wait for those.
    """
    if progress_of(deployment).phase is not Phase.WAITING:
        return False
    return not _is_observed(deployment) or _progressing(deployment).get("reason") != _COMPLETE


def desired_replicas(deployment: Object) -> int:
    """The number of pods that the Deployment should have."""
    return int(deployment["spec"].get("replicas", 1))


def template_annotations(deployment: Object) -> dict[str, str]:
    """The annotations of the pod template."""
    return (deployment["spec"]["template"].get("metadata") or {}).get("annotations") or {}


def _is_observed(deployment: Object) -> bool:
    """Whether the status describes the Deployment as it is now."""
    observed = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(observed >= deployment["metadata"].get("generation", 0))


def _progressing(deployment: Object) -> Object:
    conditions = (deployment.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == "Progressing"), {})


@dataclass(frozen=True)
class Restart:
    """A restart that completed or was not needed.

    Attributes:
        old, new: names of the ReplicaSets before and after; `old` is None if nothing was replaced.
        pods: names of the pods that are ready now.
    """

    status: str
    old: str | None = None
    new: str | None = None
    pods: tuple[str, ...] = ()


class Restarter:
    """Restarts one specialist and waits until its new pods are ready.

    Args:
        target: the specialist's Deployment.
        assert_lock: called right before a change in the cluster; raises if the rollout lock was lost.
    """

    def __init__(self, target: Target, assert_lock: Callable[[], None]) -> None:
        self._target = target
        self._assert_lock = assert_lock
        self._last_line = ""
        self._unavailable_at = float("-inf")

    def restart(self, version: str, run_id: str, *, lacks_version: Callable[[], bool]) -> Restart:
        """Restart for a version; if that was already done, only wait for it to complete.

        Args:
            version: number of the version in Production.
            run_id: the Dagster run that asks for it.
            lacks_version: whether pods that were already restarted for this version say that they have not loaded it.

        Raises:
            RolloutRefused: the Deployment is paused, or another specialist's rollout does not end in time.
            RolloutFailed: the new pods do not become ready in time.
        """
        deployment = self._target.read()
        self._refuse_if_paused(deployment)
        if desired_replicas(deployment) == 0:
            return Restart(NO_REPLICAS)
        if template_annotations(deployment).get(VERSION) == version:
            phase = progress_of(deployment).phase
            if phase is Phase.COMPLETE and not lacks_version():
                return self._result(ALREADY_RUNNING, deployment)
            if phase is Phase.WAITING:
                self._log_once(f"the restart for version {version} has already begun")
                return self._wait()
        old = self._target.newest_replica_set(deployment)
        self._wait_for_others()
        self._assert_lock()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {RESTARTED_AT: now, VERSION: version, RUN_ID: run_id}
        self._target.cluster.annotate_template(self._target.namespace, self._target.deployment, annotations)
        self._log_once(f"restarted for version {version}")
        return self._wait(old)

    def _refuse_if_paused(self, deployment: Object) -> None:
        if progress_of(deployment).phase is Phase.PAUSED:
            target = self._target
            raise RolloutRefused(
                f"{target} is paused, so its pods are not replaced. Run `kubectl -n {target.namespace} rollout resume"
                f" deployment/{target.deployment}`, then run this again"
            )

    def _wait_for_others(self) -> None:
        """Two specialists restarting at once would cost the hive its quorum, whoever restarts the other one."""
        deadline = time.monotonic() + self._target.rollout_timeout_s
        while others := self._others_in_motion():
            if time.monotonic() > deadline:
                raise RolloutRefused(
                    f"{self._target} was not restarted: only {self._target.most} at a time, and the rollout of"
                    f" {others} did not end within {self._target.rollout_timeout_s:.0f} s (ROLLOUT_TIMEOUT_S). Check"
                    f" {others}, then run this again"
                )
            self._log_once(f"waiting for the rollout of {others}")
            time.sleep(_POLL_S)

    def _others_in_motion(self) -> str:
        """The others that restart now, if they are as many as may restart at once."""
        names = [name for _, name in filter(self._is_other_in_motion, self._target.others)]
        return ", ".join(names) if len(names) >= self._target.parallel else ""

    def _is_other_in_motion(self, other: tuple[str, str]) -> bool:
        try:
            return is_in_motion(self._target.cluster.deployment(*other))
        except KubernetesRefused:
            # Not every cluster runs all specialists, or lets us see them.
            return False

    def _wait(self, old: Object | None = None) -> Restart:
        """Wait for the end of the rollout, even if the API server is down for a while."""
        deadline = time.monotonic() + self._target.rollout_timeout_s
        deployment = self._wait_until_complete(deadline)
        return self._persistently(lambda: self._result(ROLLED_OUT, deployment, old), deadline)

    def _wait_until_complete(self, deadline: float) -> Object:
        while True:
            deployment = self._persistently(self._target.read, deadline)
            progress = progress_of(deployment)
            if progress.phase is Phase.COMPLETE:
                return deployment
            self._refuse_if_paused(deployment)
            if progress.phase is Phase.FAILED:
                failure = f"the rollout of {self._target} failed: {progress.reason}"
                raise RolloutFailed(self._with_causes(failure, deployment))
            if time.monotonic() > deadline:
                limit = f"{self._target.rollout_timeout_s:.0f} s (ROLLOUT_TIMEOUT_S)"
                failure = f"{self._target} was not ready after {limit}: {progress.reason}"
                raise RolloutFailed(self._with_causes(failure, deployment))
            self._log_once(progress.reason)
            time.sleep(_POLL_S)

    def _persistently(self, ask: Callable[[], T], deadline: float) -> T:
        while True:
            try:
                return ask()
            except KubernetesUnavailable as error:
                self._unavailable_at = time.monotonic()
                if self._unavailable_at > deadline:
                    raise
                self._log_once(f"{error}. Trying again")
            except KubernetesRefused as error:
                if time.monotonic() > min(deadline, self._unavailable_at + _SETTLING_S):
                    raise
                self._log_once(f"{error}. Trying again, because the API server was down a moment ago")
            time.sleep(_POLL_S)

    def _result(self, status: str, deployment: Object, old: Object | None = None) -> Restart:
        new, pods = self._target.newest_pods(deployment)
        return Restart(
            status,
            old=name_of(old) if old else None,
            new=name_of(new) if new else None,
            pods=tuple(name_of(pod) for pod in pods if not has_ended(pod)),
        )

    def _with_causes(self, failure: str, deployment: Object) -> str:
        """The failure with what pods and events say about it, as far as they can be read."""
        try:
            newest, pods = self._target.newest_pods(deployment)
            warnings = self._target.cluster.warnings(self._target.namespace)
        except (KubernetesRefused, KubernetesUnavailable) as error:
            return f"{failure.rstrip('.')}. Its pods and events could not be read: {error}"
        reasons = [f"{pod}: {reason}" for pod, reason in not_ready_reasons(pods).items()]
        events = warnings_about(filter(None, [deployment, newest, *pods]), warnings)
        causes = [f"pods: {'; '.join(reasons)}"] if reasons else []
        causes += [f"events: {'; '.join(events)}"] if events else []
        return ". ".join([failure.rstrip("."), *causes])

    def _log_once(self, line: str) -> None:
        """Log each line once, however often the same thing is seen."""
        if line != self._last_line:
            self._last_line = line
            self._target.log(f"{self._target.deployment}: {line}")
