"""Back to an earlier version: the same moves as a promotion, under the same lock, in the same log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.errors import RegistryError, UsageError
from nhm_assets.registry.promotion_lock import LEASE_S, Intent, hold_intent
from nhm_assets.registry.recovery import DONE_KINDS, PROMOTION, ROLLBACK, apply_moves, finish_or_undo, plan_moves
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_by_alias, version_if_any, version_in_production
from nhm_assets.registry.vocabulary import ARCHIVED, FILES_DELETED_TAG, PREVIOUS_ALIAS, PRODUCTION, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

Document = dict[str, Any]


@dataclass(frozen=True)
class RollbackRequest:
    """A wish to have an earlier version in Production again.

    Attributes:
        model: name of the registered model.
        reason: why, in a person's words.
        to: number of the version wanted; None for the one that the alias `previous` names.
        leaving: number of the version that must be in Production for the wish to make sense; None for any.
        fields: what else the audit log says: who asked for it, in which run.
        attempts: the Dagster runs that carry out this very wish; what one of them has done is not done again.
    """

    model: str
    reason: str
    to: str | None = None
    leaving: str | None = None
    fields: Mapping[str, Any] | None = None
    attempts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rollback:
    """A finished rollback: `version` is in Production, `left` is Archived and marked.

    Attributes:
        left: None where no version was in Production, or it was this one already.
        audit_id: `_id` of the document in the audit log; None where nothing was moved.
    """

    model: str
    version: str
    left: str | None
    audit_id: str | None


def roll_back(
    client: "MlflowClient",
    log: "Collection[Document]",
    request: RollbackRequest,
    *,
    now: datetime,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Rollback:
    """Put an earlier version into Production; the one there is Archived, and never promoted again by itself.

    Args:
        client: of the registry.
        log: the audit log.
        request: what is asked for.
        now: time for the log.
        wait_s: seconds to wait for another promotion of the same model.
        lease_s: see `hold_intent`.

    Raises:
        UsageError: there is no reason, or no such version to go back to.
        RegistryError: another promotion does not end, or the registry does not keep what was written.
    """
    if not request.reason.strip():
        raise UsageError("a rollback needs a reason: it is what people read in the audit log")
    ended: list[str] = []

    def repair(abandoned: Intent) -> None:
        finish_or_undo(client, abandoned, now=now)
        ended.append(abandoned.id)

    fields = {**(request.fields or {}), "kind": ROLLBACK, "reason": request.reason, "at": now}
    with hold_intent(log, request.model, fields, repair=repair, wait_s=wait_s, lease_s=lease_s) as intent:
        if done := _done_before(log, request, ended):
            intent.withdraw()
            return done
        return _go_back(client, log, request, intent, now)


def _go_back(
    client: "MlflowClient", log: "Collection[Document]", request: RollbackRequest, intent: Intent, now: datetime
) -> Rollback:
    try:
        current, target = _from_and_to(client, request)
    except (UsageError, RegistryError):
        intent.withdraw()
        raise
    if current == target and not registry_faults(client, request.model, target):
        intent.withdraw()
        return Rollback(request.model, target, None, None)
    previous = _version_before(client, log, request.model, target, leaving=current)
    intent.note(version=target, **plan_moves(target, leaving=current, previous=previous))
    apply_moves(client, intent)
    intent.close("done", kind=DONE_KINDS[ROLLBACK], finished_at=now)
    return Rollback(request.model, target, current if current != target else None, intent.id)


def _done_before(log: "Collection[Document]", request: RollbackRequest, ended: list[str]) -> Rollback | None:
    """What an earlier, interrupted attempt has come to: by itself, or by our ending it just now.

    Without this, who asks again for the previous version, having heard no answer, would go back twice.
    """
    ours: list[Document] = [{"dagster_run_id": {"$in": sorted(request.attempts)}}]
    if request.to is None and request.leaving is None:
        ours.append({"_id": {"$in": ended}})
    found = log.find_one({"model": request.model, "kind": DONE_KINDS[ROLLBACK], "$or": ours}, sort=[("at", -1)])
    if found is None:
        return None
    left = found["from_version"] if found["from_version"] != found["version"] else None
    return Rollback(request.model, found["version"], left, str(found["_id"]))


def _from_and_to(client: "MlflowClient", request: RollbackRequest) -> tuple[str | None, str]:
    model = request.model
    champion = version_in_production(client, model)
    current = str(champion.version) if champion else None
    if request.leaving is not None and request.leaving != current:
        raise RegistryError(
            f"{model} is not rolled back: version {request.leaving} was to leave {PRODUCTION}, and {current} is there"
        )
    target = version_by_alias(client, model, PREVIOUS_ALIAS) if request.to is None else request.to
    if target is None:
        raise UsageError(f"{model} has no previous version to go back to: name one with --to")
    version = version_if_any(client, model, target)
    if version is None:
        raise UsageError(f"{model} has no version {target!r}: `nhm status` and the MLflow UI show those there are")
    if FILES_DELETED_TAG in version.tags:
        raise UsageError(
            f"{model} version {target} cannot serve: its files were deleted (KEEP_VERSIONS), only its record is left"
        )
    if version.current_stage not in (ARCHIVED, PRODUCTION):
        raise UsageError(
            f"{model} version {target} was never in {PRODUCTION} (its stage is {version.current_stage}): a"
            " rollback goes back to one that was; what the gate held is not let in this way"
        )
    # As the registry writes it: it takes "02" for 2.
    return current, str(version.version)


def _version_before(
    client: "MlflowClient", log: "Collection[Document]", model: str, target: str, *, leaving: str | None
) -> str | None:
    """The version that `target` replaced when it was promoted; where that could not serve, the next further back."""
    looked_at: set[str] = set()
    number: str | None = target
    while number is not None and number not in looked_at:
        looked_at.add(number)
        asked = {"model": model, "version": number, "kind": DONE_KINDS[PROMOTION]}
        promotion = log.find_one(asked, sort=[("at", -1)]) or {}
        number = promotion.get("from_version")
        if number not in (None, target, leaving) and _could_serve(version_if_any(client, model, number)):
            return number
    return None


def _could_serve(version: "ModelVersion | None") -> bool:
    if version is None or version.current_stage != ARCHIVED:
        return False
    return not version.tags.keys() & {ROLLED_BACK_TAG, FILES_DELETED_TAG}
