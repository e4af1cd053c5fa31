"""Restarts a Deployment as `kubectl rollout restart` does, and waits as `kubectl rollout status` does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from nhm_assets.domain.errors import RolloutFailed, RolloutRefused
from nhm_assets.rollout.pods import name_of, own_replica_sets, pods_of, selector_of, troubles, warnings_about
from nhm_assets.rollout.progress import Phase, desired_replicas, in_motion, progress_of, template_annotations
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused, KubernetesUnavailable
from resources.kubernetes import Cluster

Object = dict[str, Any]
Log = Callable[[str], None]
T = TypeVar("T")

RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
VERSION: Final = "nhm/model-version"
RUN_ID: Final = "nhm/dagster-run-id"
"""Annotations of the pod template: what the restart was for, for a re-run and for whoever compares manifests."""

ROLLED_OUT: Final = "rolled out"
ALREADY_RUNNING: Final = "already running"
NO_REPLICAS: Final = "no replicas"
_POLL_S: Final = 1.0
_COMES_BACK_S: Final = 30.0


@dataclass(frozen=True)
class Restart:
    """A restart that came to its end, or was not needed.

    Attributes:
        old, new: names of the ReplicaSets before and after; `old` is None where nothing was replaced.
        pods: names of the pods that are ready now.
    """

    status: str
    old: str | None
    new: str | None
    pods: tuple[str, ...]


class Restarter:
    """Brings a Deployment to run pods that were started for a version.

    Args:
        cluster: where it is.
        target: which it is.
        guard: called right before anything is changed; raises where we may not any more.
        log: told what is being waited for.
    """

    def __init__(self, cluster: Cluster, target: Target, *, guard: Callable[[], None], log: Log) -> None:
        self._cluster = cluster
        self._target = target
        self._guard = guard
        self._log = log
        self._logged = ""
        self._away_at = float("-inf")

    def restart(self, version: str, run_id: str, *, denied: Callable[[], bool]) -> Restart:
        """Restart for a version, unless that was done; then only see it to its end.

        Args:
            version: number of the version in Production.
            run_id: the Dagster run that wants it.
            denied: whether pods that were restarted for this version say that they do not serve it.

        Raises:
            RolloutRefused: the Deployment is paused, or another specialist does not come to rest.
            RolloutFailed: the new pods do not become ready, or not in time.
        """
        deployment = self._cluster.deployment(self._target.namespace, self._target.deployment)
        self._refuse_paused(deployment)
        if desired_replicas(deployment) == 0:
            return Restart(NO_REPLICAS, None, None, ())
        if template_annotations(deployment).get(VERSION) == version:
            phase = progress_of(deployment).phase
            if phase is Phase.COMPLETE and not denied():
                return self._result(ALREADY_RUNNING, deployment, None)
            if phase is Phase.WAITING:
                self._log_once(f"the restart for version {version} was begun already")
                return self._finished(None)
        before = self._newest(deployment)
        self._let_others_finish()
        self._guard()
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {RESTARTED_AT: stamp, VERSION: version, RUN_ID: run_id}
        self._cluster.annotate_template(self._target.namespace, self._target.deployment, annotations)
        self._log_once(f"restarted for version {version}")
        return self._finished(before)

    def _refuse_paused(self, deployment: Object) -> None:
        if progress_of(deployment).phase is Phase.PAUSED:
            target = self._target
            raise RolloutRefused(
                f"{target} is paused, so its pods are not replaced: `kubectl -n {target.namespace} rollout resume"
                f" deployment/{target.deployment}`, then run this again"
            )

    def _let_others_finish(self) -> None:
        """Two specialists at once would cost the hive its quorum, whoever restarts the other one."""
        deadline = time.monotonic() + self._target.timeout_s
        while moving := [name for name in self._target.others if self._is_moving(name)]:
            if time.monotonic() > deadline:
                raise RolloutRefused(
                    f"{self._target} was not restarted: {', '.join(moving)} did not finish a rollout of its own in"
                    f" {self._target.timeout_s:.0f} s (ROLLOUT_TIMEOUT_S), and never two specialists are restarted"
                    " at once. See to that one, then run this again"
                )
            self._log_once(f"waiting for the rollout of {', '.join(moving)}")
            time.sleep(_POLL_S)

    def _is_moving(self, name: str) -> bool:
        try:
            return in_motion(self._cluster.deployment(self._target.namespace, name))
        except KubernetesRefused:
            # Not every cluster runs, or shows us, all five; each is asked for again when it is its turn.
            return False

    def _finished(self, before: Object | None) -> Restart:
        deadline = time.monotonic() + self._target.timeout_s
        deployment = self._awaited(deadline)
        return self._persistently(lambda: self._result(ROLLED_OUT, deployment, before), deadline)

    def _awaited(self, deadline: float) -> Object:
        """Wait for the end of the rollout; an API server that goes away meanwhile is waited for as well."""
        while True:
            deployment = self._persistently(
                lambda: self._cluster.deployment(self._target.namespace, self._target.deployment), deadline
            )
            progress = progress_of(deployment)
            if progress.phase is Phase.COMPLETE:
                return deployment
            self._refuse_paused(deployment)
            if progress.phase is Phase.FAILED:
                raise RolloutFailed(self._explained(f"{self._target} failed: {progress.reason}", deployment))
            if time.monotonic() > deadline:
                late = (
                    f"{self._target} was not ready after {self._target.timeout_s:.0f} s (ROLLOUT_TIMEOUT_S):"
                    f" {progress.reason}"
                )
                raise RolloutFailed(self._explained(late, deployment))
            self._log_once(progress.reason)
            time.sleep(_POLL_S)

    def _persistently(self, ask: Callable[[], T], deadline: float) -> T:
        while True:
            try:
                return ask()
            except KubernetesUnavailable as error:
                self._away_at = time.monotonic()
                if self._away_at > deadline:
                    raise
                self._log_once(f"{error}; trying on")
            except KubernetesRefused as error:
                # An API server that has just come back does not know its own Roles and accounts yet.
                if time.monotonic() > min(deadline, self._away_at + _COMES_BACK_S):
                    raise
                self._log_once(f"{error}; trying on, since the API server was away a moment ago")
            time.sleep(_POLL_S)

    def _newest(self, deployment: Object) -> Object | None:
        found = self._cluster.replica_sets(self._target.namespace, selector_of(deployment))
        return next(iter(own_replica_sets(deployment, found)), None)

    def _result(self, status: str, deployment: Object, before: Object | None) -> Restart:
        newest = self._newest(deployment)
        pods = pods_of(newest, self._cluster.pods(self._target.namespace, selector_of(deployment)))
        return Restart(
            status,
            old=name_of(before) if before else None,
            new=name_of(newest) if newest else None,
            pods=tuple(name_of(one) for one in pods),
        )

    def _explained(self, sentence: str, deployment: Object) -> str:
        """A failure with what pods and events say of it, as far as that can be read."""
        try:
            newest = self._newest(deployment)
            pods = pods_of(newest, self._cluster.pods(self._target.namespace, selector_of(deployment)))
            reasons = troubles(pods)
            concerned = [deployment, *([newest] if newest else []), *pods]
            events = warnings_about(concerned, self._cluster.warnings(self._target.namespace))
        except (KubernetesRefused, KubernetesUnavailable) as error:
            return f"{sentence}. More cannot be said: {error}"
        said = [f"pods: {'; '.join(reasons)}"] if reasons else []
        said += [f"events: {'; '.join(events)}"] if events else []
        return ". ".join([sentence.rstrip("."), *said])

    def _log_once(self, sentence: str) -> None:
        """Say each thing once, however often it is looked at."""
        if sentence != self._logged:
            self._logged = sentence
            self._log(f"{self._target.deployment}: {sentence}")
