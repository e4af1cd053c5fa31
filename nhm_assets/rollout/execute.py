"""A rollout from its turn to its end: restart, ask the pods, and go back to the version before where that is wanted."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import RegistryError, RolloutFailed, RolloutRefused, UsageError
from nhm_assets.domain.specialists import SPECIALISTS
from nhm_assets.registry.rollback import RollbackRequest, roll_back
from nhm_assets.registry.versions import version_if_any, version_in_production
from nhm_assets.registry.vocabulary import PRODUCTION, ROLLED_BACK_TAG
from nhm_assets.rollout.progress import template_annotations
from nhm_assets.rollout.restart import NO_REPLICAS, VERSION, Restart, Restarter
from nhm_assets.rollout.rollout_lock import Turn, turn
from nhm_assets.rollout.serving import Expected, Serving
from nhm_assets.rollout.status_probe import pods_serving
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused, KubernetesUnavailable
from resources.kubernetes import Cluster

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

SUPERSEDED: Final = "superseded"
FAILED: Final = "failed"
_ROLLOUTS_IN_FRONT: Final = len(SPECIALISTS) - 1
_RESTARTS_OF_ONE: Final = 2
"""One for the new version, and one back where that fails."""


@dataclass(frozen=True)
class RolloutRequest:
    """What is to be rolled out, by whom, and what to do where that fails.

    Attributes:
        fields: what else the audit log says of it.
        rollback: whether to bring the version before back.
        promotion_wait_s: seconds to wait for a promotion that is under way, before going back.
        attempts: the Dagster runs that carry out this very order; what one of them has done is not done again.
    """

    model: str
    version: str
    dagster_run_id: str
    fields: dict[str, Any]
    rollback: bool
    now: datetime
    promotion_wait_s: float
    attempts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Result:
    """What became of an order.

    Attributes:
        serving: what the pods said; None where none was asked.
        broken: what went wrong, for an error; None where nothing did, or the pods alone say so.
    """

    status: str
    restart: Restart | None
    serving: Serving | None
    reason: str
    seconds: float
    broken: str | None = None


def roll_out(
    cluster: Cluster,
    client: "MlflowClient",
    log: "Collection[dict[str, Any]]",
    target: Target,
    order: RolloutRequest,
    log_line: Callable[[str], None],
) -> Result:
    """Restart a specialist for the version that was promoted, and ask its pods.

    Raises:
        RolloutRefused: nothing could be restarted.
        KubernetesUnavailable: the API server went away, for longer than a rollout may take.
        KubernetesRefused: it does not let us, or knows no such Deployment.
    """
    started = time.monotonic()
    fields = {**order.fields, "registered_model": order.model, "version": order.version}
    wait_s = _ROLLOUTS_IN_FRONT * _RESTARTS_OF_ONE * target.timeout_s
    with turn(log, {**fields, "dagster_run_id": order.dagster_run_id}, now=order.now, wait_s=wait_s) as mine:
        found = _Rollout(cluster, client, log, target, order, log_line, mine).result(started)
        mine.outcome = {"result": FAILED if found.broken else found.status, "reason": found.broken or found.reason}
        if found.serving is not None:
            mine.outcome |= {"loaded": found.serving.loaded, "proven": found.serving.proven}
    return found


class _Rollout:
    """One order while it is carried out."""

    def __init__(
        self,
        cluster: Cluster,
        client: "MlflowClient",
        log: "Collection[dict[str, Any]]",
        target: Target,
        order: RolloutRequest,
        log_line: Callable[[str], None],
        mine: Turn,
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._log = log
        self._target = target
        self._order = order
        self._restarter = Restarter(cluster, target, guard=mine.require, log=log_line)

    def result(self, started: float) -> Result:
        if other := self._other_in_production():
            return self._superseded(other, started)
        restart: Restart | None = None
        serving: Serving | None = None
        try:
            restart = self._restarter.restart(
                self._order.version, self._order.dagster_run_id, denied=lambda: self._ask(self._order.version).denied
            )
            serving = None if restart.status == NO_REPLICAS else self._ask(self._order.version)
        except RolloutFailed as error:
            status, reason = FAILED, str(error)
            broken: str | None = self._gone_back(reason) if self._order.rollback else reason
        else:
            status, broken = restart.status, None
            reason = serving.reason if serving else f"{self._target} is to have no pods, so nothing loads a model"
            if serving and not serving.loaded and self._order.rollback:
                broken = self._gone_back(reason)
        return Result(status, restart, serving, reason, time.monotonic() - started, broken)

    def _ask(self, version: str) -> Serving:
        run_id = self._client.get_model_version(self._order.model, version).run_id
        return pods_serving(self._cluster, self._target, Expected(self._target.specialist, version, run_id or None))

    def _other_in_production(self) -> str | None:
        champion = version_in_production(self._client, self._order.model)
        current = str(champion.version) if champion else "none"
        return current if current != self._order.version else None

    def _superseded(self, other: str, started: float) -> Result:
        """Another version is in Production, so pods would load that one whatever we wanted.

        Its own run restarts them, unless it is there because a rollout of ours was interrupted while it went back.
        """
        order = self._order
        reason = f"version {order.version} is no longer in {PRODUCTION}, version {other} is: nothing was restarted"
        broken = None
        if order.rollback and other != "none" and self._was_interrupted():
            broken = f"version {order.version} was rolled back. {self._restarted_for(other)}"
        return Result(SUPERSEDED, None, None, reason, time.monotonic() - started, broken)

    def _was_interrupted(self) -> bool:
        version = version_if_any(self._client, self._order.model, self._order.version)
        if version is None or ROLLED_BACK_TAG not in version.tags:
            return False
        deployment = self._cluster.deployment(self._target.namespace, self._target.deployment)
        return template_annotations(deployment).get(VERSION) == self._order.version

    def _gone_back(self, why: str) -> str:
        """Bring the version before back, in the registry and in the pods; the whole story for an error."""
        order = self._order
        request = RollbackRequest(
            order.model,
            reason=f"its rollout failed: {why}",
            leaving=order.version,
            fields={**order.fields, "dagster_run_id": order.dagster_run_id},
            attempts=order.attempts,
        )
        story = f"{order.model} version {order.version} does not serve: {why}"
        try:
            back = roll_back(self._client, self._log, request, now=order.now, wait_s=order.promotion_wait_s)
        except (UsageError, RegistryError) as error:
            return (
                f"{story.rstrip('.')}. NOT ROLLED BACK, so version {order.version} stays in {PRODUCTION}, and somebody"
                f" has to look at the specialist now: {error}"
            )
        return f"{story.rstrip('.')}. ROLLED BACK to version {back.version}. {self._restarted_for(back.version)}"

    def _restarted_for(self, version: str) -> str:
        """Restart for the version that is in Production again, and say how that went."""
        alarm = f"The specialist did NOT come back with version {version}, and somebody has to look at it now"
        try:
            restart = self._restarter.restart(version, self._order.dagster_run_id, denied=lambda: True)
            serving = None if restart.status == NO_REPLICAS else self._ask(version)
        except (RolloutFailed, RolloutRefused, KubernetesRefused, KubernetesUnavailable) as error:
            return f"{alarm}: {error}"
        if serving is None:
            return f"{self._target} has no pods"
        return f"The specialist was restarted: {serving.reason}" if serving.loaded else f"{alarm}: {serving.reason}"
