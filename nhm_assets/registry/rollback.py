"""Rollback to an earlier version: the same moves as a promotion, under the same lock, in the same audit log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import RegistryError, UsageError
from nhm_assets.registry.foreign_moves import pointer_of
from nhm_assets.registry.promotion_lock import LEASE_S, PromotionLock, hold_lock
from nhm_assets.registry.recovery import (
    DONE_KINDS,
    PROMOTION,
    ROLLBACK,
    apply_moves,
    last_move,
    plan_moves,
    recover,
    was_champion,
)
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import absence, version_by_alias, version_if_any, version_in_production
from nhm_assets.registry.vocabulary import ARCHIVED, FILES_DELETED_TAG, PREVIOUS_ALIAS, PRODUCTION, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

Document = dict[str, Any]

_RESTART: Final = "restart"
_PENDING: Final = "pending"


@dataclass(frozen=True)
class RollbackRequest:
    """A request to put an earlier version back into Production.

    Attributes:
        model: name of the registered model.
        reason: why, in the words of a person.
        to: number of the target version; None for the version that the alias `previous` names.
        from_version: number of the version that must be in Production now, or the request is refused; None for any.
        fields: more fields of the audit log: the actor, the run.
        attempts: the Dagster runs that execute this request; a rollback by one of them is not repeated.
        restarts: whether the specialist is restarted next. Until `record_restart` says that it was, the same request
            moves nothing again.
    """

    model: str
    reason: str
    to: str | None = None
    from_version: str | None = None
    fields: Mapping[str, Any] | None = None
    attempts: frozenset[str] = frozenset()
    restarts: bool = False


@dataclass(frozen=True)
class Rollback:
    """A finished rollback: `version` is in Production, `from_version` is Archived and tagged as rolled back.

    Attributes:
        from_version: None if no version was in Production, or several were, or `version` already was.
        audit_id: `_id` of the document in the audit log; None if nothing was moved.
    """

    model: str
    version: str
    from_version: str | None
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
    """Put an earlier version into Production. The one there is Archived, and never promoted again automatically.

    Args:
        client: of the registry.
        log: the audit log.
        request: which version, and why.
        now: time for the audit log.
        wait_s: seconds to wait for another promotion of the same model.
        lease_s: see `hold_lock`.

    Raises:
        UsageError: the reason is missing, or the target version does not exist or cannot serve.
        RegistryError: another promotion did not end in time, or the registry does not show what was written.
    """
    if not request.reason.strip():
        raise UsageError("a rollback needs a reason: say why, for the people who read the audit log")
    recovered: list[str] = []

    def recover_and_remember(abandoned: PromotionLock) -> None:
        recover(client, abandoned, now=now)
        recovered.append(abandoned.id)

    fields = {**(request.fields or {}), "kind": ROLLBACK, "reason": request.reason, "at": now}
    if request.restarts:
        fields[_RESTART] = _PENDING
    with hold_lock(log, request.model, fields, recover=recover_and_remember, wait_s=wait_s, lease_s=lease_s) as lock:
        if finished := _finished_rollback(log, request, recovered) or _unfinished_restart(client, log, request):
            lock.discard()
            return finished
        return _roll_back(client, log, request, lock, now)


def _roll_back(
    client: "MlflowClient", log: "Collection[Document]", request: RollbackRequest, lock: PromotionLock, now: datetime
) -> Rollback:
    try:
        champion, target = _champion_and_target(client, log, request)
    except (UsageError, RegistryError):
        lock.discard()
        raise
    if champion == target and not registry_faults(client, request.model, target):
        lock.discard()
        return Rollback(request.model, target, None, None)
    previous = _version_before(client, log, request.model, target, champion=champion)
    lock.update(version=target, **plan_moves(target, champion=champion, previous=previous))
    apply_moves(client, lock)
    lock.release("done", kind=DONE_KINDS[ROLLBACK], finished_at=now)
    return Rollback(request.model, target, champion if champion != target else None, lock.id)


def _finished_rollback(log: "Collection[Document]", request: RollbackRequest, recovered: list[str]) -> Rollback | None:
    """The rollback that an earlier attempt has finished, or that was recovered just now; None if there is none.

    Without this, a person who asks again after an interruption would roll back twice.
    """
    earlier: list[Document] = [{"dagster_run_id": {"$in": sorted(request.attempts)}}]
    if request.to is None and request.from_version is None:
        earlier.append({"_id": {"$in": recovered}})
    entry = log.find_one({"model": request.model, "kind": DONE_KINDS[ROLLBACK], "$or": earlier}, sort=[("at", -1)])
    return _rollback_of(entry) if entry else None


def _unfinished_restart(
    client: "MlflowClient", log: "Collection[Document]", request: RollbackRequest
) -> Rollback | None:
    """The last rollback, if the specialist was never restarted for it; None if there is none.

    A person who repeats the command because the restart failed wants the restart, not a second step back.
    """
    entry = last_move(log, request.model)
    if request.to is not None or request.from_version is not None or entry is None or entry.get(_RESTART) != _PENDING:
        return None
    champion = version_in_production(client, request.model)
    return _rollback_of(entry) if champion and str(champion.version) == entry["version"] else None


def record_restart(log: "Collection[Document]", model: str, version: str) -> None:
    """Record that the specialist was restarted for the version that a rollback put back."""
    log.update_many({"model": model, "version": version, _RESTART: _PENDING}, {"$set": {_RESTART: "done"}})


def _rollback_of(entry: Document) -> Rollback:
    before = entry["from_version"] if entry["from_version"] != entry["version"] else None
    return Rollback(entry["model"], entry["version"], before, str(entry["_id"]))


def _champion_and_target(
    client: "MlflowClient", log: "Collection[Document]", request: RollbackRequest
) -> tuple[str | None, str]:
    model, pointer = request.model, pointer_of(client, log, request.model)
    if pointer.is_foreign and len(pointer.stage) > 1:
        # Somebody else put several versions into Production. All but the target are archived.
        champion = None
    else:
        in_production = version_in_production(client, model)
        champion = str(in_production.version) if in_production else None
    if request.from_version is not None and request.from_version != champion:
        raise RegistryError(
            f"{model} is not rolled back: version {request.from_version} should leave {PRODUCTION}, but"
            f" {f'version {champion}' if champion else 'no version'} is in {PRODUCTION}"
        )
    target = request.to
    if target is None and request.from_version is None and pointer.audited and pointer.is_foreign:
        # Others may have deleted it.
        target = pointer.audited if version_if_any(client, model, pointer.audited) else None
    if target is None:
        target = version_by_alias(client, model, PREVIOUS_ALIAS)
    if target is None:
        raise UsageError(f"{model} has no previous version: name the target with --to")
    version = version_if_any(client, model, target)
    if version is None:
        raise UsageError(absence(client, model, target))
    if FILES_DELETED_TAG in version.tags:
        raise UsageError(
            f"{model} version {target} cannot serve: its files were deleted (KEEP_VERSIONS). Name another version"
        )
    if version.current_stage not in (ARCHIVED, PRODUCTION) and not was_champion(log, model, str(version.version)):
        raise UsageError(
            f"{model} version {target} was never in {PRODUCTION} (its stage is {version.current_stage}). A rollback"
            " cannot promote a held candidate: name a version that was in Production before"
        )
    # The number as the registry writes it: it reads "02" as 2.
    return champion, str(version.version)


def _version_before(
    client: "MlflowClient", log: "Collection[Document]", model: str, target: str, *, champion: str | None
) -> str | None:
    """The version that `target` replaced when it was promoted; if that one cannot serve, the one before it."""
    visited: set[str] = set()
    number: str | None = target
    while number is not None and number not in visited:
        visited.add(number)
        query = {"model": model, "version": number, "kind": DONE_KINDS[PROMOTION]}
        promotion = log.find_one(query, sort=[("at", -1)]) or {}
        number = promotion.get("from_version")
        if number not in (None, target, champion) and _can_serve(version_if_any(client, model, number)):
            return number
    return None


def _can_serve(version: "ModelVersion | None") -> bool:
    if version is None or version.current_stage != ARCHIVED:
        return False
    return not version.tags.keys() & {ROLLED_BACK_TAG, FILES_DELETED_TAG}
