"""One rollout from start to end: restart, ask the pods, and go back to the previous version if that is configured."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.class_order import ServedClasses
from nhm_assets.domain.errors import RegistryError, RolloutFailed, RolloutRefused, UsageError
from nhm_assets.registry.rollback import RollbackRequest, roll_back
from nhm_assets.registry.rollout_lock import rollout_lock
from nhm_assets.registry.served_order import order_warning
from nhm_assets.registry.versions import version_if_any, version_in_production
from nhm_assets.registry.vocabulary import PRODUCTION, ROLLED_BACK_TAG
from nhm_assets.rollout.restart import NO_REPLICAS, VERSION, Restart, Restarter, template_annotations
from nhm_assets.rollout.serving import Serving
from nhm_assets.rollout.status_probe import ask_for_version
from nhm_assets.rollout.target import Target
from resources.errors import KubernetesRefused, KubernetesUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

SUPERSEDED: Final = "superseded"
FAILED: Final = "failed"


@dataclass(frozen=True)
class RolloutRequest:
    """What to roll out, and what to do if it fails.

    Attributes:
        fields: further fields of the audit log's entry.
        rollback: whether to put the previous version back into Production if the rollout fails.
        promotion_wait_s: seconds to wait for a promotion in progress before a rollback.
        attempts: the Dagster runs that carry out this request; what one of them has done is not repeated.
        served_classes: the order in which the specialists read a model's answers.
    """

    model: str
    version: str
    dagster_run_id: str
    fields: dict[str, Any]
    rollback: bool
    now: datetime
    promotion_wait_s: float
    attempts: frozenset[str] = frozenset()
    served_classes: ServedClasses = "names"


@dataclass(frozen=True)
class Result:
    """How a rollout ended.

    Attributes:
        restart: None if nothing was restarted.
        serving: what the pods report; None if none was asked.
        error: the message of the error to raise; None if there is none.
        seconds: the whole duration, including the wait for other specialists.
    """

    status: str
    reason: str
    restart: Restart | None = None
    serving: Serving | None = None
    error: str | None = None
    seconds: float = 0.0


def execute(
    target: Target, client: "MlflowClient", audit_log: "Collection[dict[str, Any]]", request: RolloutRequest
) -> Result:
    """Restart a specialist for the promoted version, and ask its pods whether they serve it.

    Raises:
        RolloutRefused: the restart was not possible.
        KubernetesUnavailable: the API server was down for longer than ROLLOUT_TIMEOUT_S.
        KubernetesRefused: we lack a right, or there is no such Deployment.
    """
    started = time.monotonic()
    run = {"dagster_run_id": request.dagster_run_id}
    fields = {**request.fields, **run, "registered_model": request.model, "version": request.version}
    wait_s = target.restarts_ahead * target.rollout_timeout_s
    held = rollout_lock(audit_log, fields, now=request.now, wait_s=wait_s, parallel=target.parallel)
    with held as (assert_lock, outcome):
        result = _Rollout(target, client, audit_log, request, assert_lock).run()
        outcome.update(result=FAILED if result.error else result.status, reason=result.error or result.reason)
        if result.serving:
            outcome.update(
                loaded=result.serving.loaded, proven=result.serving.proven, pods=result.serving.pods_by_answer
            )
    return replace(result, seconds=time.monotonic() - started)


class _Rollout:
    """One request, while this process holds the rollout lock."""

    def __init__(
        self,
        target: Target,
        client: "MlflowClient",
        audit_log: "Collection[dict[str, Any]]",
        request: RolloutRequest,
        assert_lock: Callable[[], None],
    ) -> None:
        self._target = target
        self._client = client
        self._audit_log = audit_log
        self._request = request
        self._restarter = Restarter(target, assert_lock)

    def run(self) -> Result:
        request = self._request
        champion = version_in_production(self._client, request.model)
        if champion is None or str(champion.version) != request.version:
            return self._superseded(str(champion.version) if champion else None)
        try:
            restart, serving = self._restart(request.version, lambda: self._ask(request.version).lacks_version)
        except RolloutFailed as failure:
            reason = str(failure)
            return Result(FAILED, reason, error=self._roll_back(reason) if request.rollback else reason)
        if serving is None:
            return Result(restart.status, f"{self._target} has 0 replicas, so no pod loads a model", restart)
        # Only a denial speaks against the version. With pods that cannot be asked, are still starting or have lost
        # MLflow, the one before would not serve either.
        error = self._roll_back(serving.reason) if request.rollback and serving.denied else None
        return Result(restart.status, serving.reason, restart, serving, error)

    def _restart(self, version: str, lacks_version: Callable[[], bool]) -> tuple[Restart, Serving | None]:
        restart = self._restarter.restart(version, self._request.dagster_run_id, lacks_version=lacks_version)
        return restart, None if restart.status == NO_REPLICAS else self._ask(version)

    def _ask(self, version: str) -> Serving:
        return ask_for_version(self._target, self._client, self._request.model, version)

    def _superseded(self, champion: str | None) -> Result:
        """Another version is in Production, and its own run restarts the pods, which would load it now.

        The exception is a rollback of this run that was interrupted before its restart: no other run restarts them.
        """
        version, now = self._request.version, f"version {champion}" if champion else "no version"
        reason = f"version {version} is no longer in {PRODUCTION} (now: {now}), so nothing was restarted"
        error = None
        if self._request.rollback and champion and self._was_rollback_interrupted():
            error = f"version {version} was rolled back. {self._restart_for_previous(champion)}"
        return Result(SUPERSEDED, reason, error=error)

    def _was_rollback_interrupted(self) -> bool:
        version = version_if_any(self._client, self._request.model, self._request.version)
        if version is None or ROLLED_BACK_TAG not in version.tags:
            return False
        return template_annotations(self._target.read()).get(VERSION) == self._request.version

    def _roll_back(self, failure: str) -> str:
        """Put the previous version back into Production and into the pods; returns the message of the error."""
        request, failure = self._request, failure.rstrip(".")
        rollback = RollbackRequest(
            request.model,
            reason=f"its rollout failed: {failure}",
            from_version=request.version,
            fields={**request.fields, "dagster_run_id": request.dagster_run_id},
            attempts=request.attempts,
        )
        message = f"{request.model} version {request.version} does not serve: {failure}"
        try:
            done = roll_back(self._client, self._audit_log, rollback, now=request.now, wait_s=request.promotion_wait_s)
        except (UsageError, RegistryError) as error:
            return (
                f"{message}. NOT ROLLED BACK, so version {request.version} stays in {PRODUCTION}: {error}. Check the"
                " specialist now"
            )
        warning = order_warning(self._client, self._audit_log, done.model, done.version, request.served_classes)
        restarted = self._restart_for_previous(done.version)
        return ". ".join(filter(None, [message, f"ROLLED BACK to version {done.version}", restarted, warning]))

    def _restart_for_previous(self, version: str) -> str:
        """Restart for the version that is back in Production; returns how that went."""
        try:
            _, serving = self._restart(version, lacks_version=lambda: True)
        except (RolloutFailed, RolloutRefused, KubernetesRefused, KubernetesUnavailable) as error:
            failure = str(error)
        else:
            if serving is None:
                return f"{self._target} has 0 replicas"
            if serving.loaded:
                return f"The specialist was restarted: {serving.reason}"
            failure = serving.reason
        return f"The specialist did NOT come back with version {version}. Check it now: {failure}"
