"""Moves of the Production pointer by somebody else: found by comparing the registry with the audit log.

MLflow lets anybody who reaches it move stages and aliases, and does not record who did. The platform moves them only
under its lock, with an entry in the audit log. So a pointer that is not where the last entry put it was moved by a
stranger. It stays there until a person settles it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import RegistryError, UsageError
from nhm_assets.domain.specialists import specialist_of
from nhm_assets.registry.champions import champions
from nhm_assets.registry.promotion_lock import LEASE_S, OPEN, hold_lock
from nhm_assets.registry.recovery import (
    ADOPTION,
    DONE_KINDS,
    RESTORATION,
    apply_moves,
    audited_version,
    last_move,
    plan_moves,
    recover,
)
from nhm_assets.registry.versions import version_by_alias, version_if_any, versions_in_production
from nhm_assets.registry.vocabulary import ARCHIVED, PREVIOUS_ALIAS, PRODUCTION, PRODUCTION_ALIAS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

    from resources.mlflow_reader import MlflowReader

Document = dict[str, Any]

FOREIGN_MOVE: Final = "foreign_move"
"""Kind of the entry in the audit log."""
UNSETTLED: Final = "unsettled"
SETTLED: Final = "settled"
_RUN_USER_TAG: Final = "mlflow.user"
_UNSETTLED_INDEX: Final = "unsettled_moves"


@dataclass(frozen=True)
class Pointer:
    """Which version of a model is the champion, by each of the three sources.

    Attributes:
        stage: numbers of the versions in stage Production.
        alias: number of the version that the alias `production` names.
        audited: number of the version that the newest entry of the audit log put into Production; None if it has none.
    """

    model: str
    stage: tuple[str, ...]
    alias: str | None
    audited: str | None

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else has moved it. Without an entry in the audit log, that cannot be known."""
        return self.audited is not None and (self.stage, self.alias) != ((self.audited,), self.audited)

    @property
    def sentence(self) -> str:
        """What is where, and where the platform had put it."""
        stage = f"version {self.stage[0]} is" if self.stage else "no version is"
        if len(self.stage) > 1:
            stage = f"versions {' and '.join(self.stage)} are"
        alias = f"version {self.alias}" if self.alias else "no version"
        return (
            f"{self.model}: {stage} in stage {PRODUCTION} and the alias {PRODUCTION_ALIAS} names {alias}, but the"
            f" audit log last recorded version {self.audited}. Somebody else moved it"
        )


def remedy(client: "MlflowClient | MlflowReader", specialist: str, pointer: Pointer) -> str:
    """The commands that settle a foreign move.

    Args:
        client: of the registry.
        specialist: whose champion was moved.
        pointer: where it is now. Only a single version in stage Production can be adopted.
    """
    adoption = f"run `nhm adopt {specialist} --reason TEXT`"
    keep = {0: "", 1: f"To keep it, {adoption}. "}.get(
        len(pointer.stage), f"To keep another one, archive all others in MLflow, then {adoption}. "
    )
    return f"{keep}{_way_back(client, specialist, pointer)}"


def _way_back(client: "MlflowClient | MlflowReader", specialist: str, pointer: Pointer) -> str:
    """The command that goes back to the version of the audit log, or, if that was deleted, to the one before it."""
    audited, target, start = pointer.audited, pointer.audited, "To go back"
    if audited is not None and version_if_any(client, pointer.model, audited) is None:
        target = version_by_alias(client, pointer.model, PREVIOUS_ALIAS) or "VERSION"
        start = f"Version {audited} no longer exists. To go back to an earlier one"
    return f"{start}, run `nhm rollback {specialist} --to {target} --reason TEXT`"


def pointer_of(client: "MlflowClient | MlflowReader", log: "Collection[Document]", model: str) -> Pointer:
    """Read the pointer from the registry and from the audit log."""
    audited = audited_version(log, model)
    in_production = [str(item.version) for item in versions_in_production(client, model, audited=audited)]
    return Pointer(
        model, tuple(sorted(in_production, key=int)), version_by_alias(client, model, PRODUCTION_ALIAS), audited
    )


def pointers_of(
    client: "MlflowClient | MlflowReader", log: "Collection[Document]", models: Sequence[str]
) -> list[Pointer]:
    """Read the pointers of these models: from the registry, all together.

    A promotion that ends between the two looks leaves one that seems foreign. So those are read once more.
    """
    audited = {model: audited_version(log, model) for model in models}
    found = champions(client, audited)
    read = [Pointer(model, found[model].numbers[::-1], found[model].alias, audited[model]) for model in models]
    return [pointer_of(client, log, pointer.model) if pointer.is_foreign else pointer for pointer in read]


def record_foreign_move(
    client: "MlflowClient", log: "Collection[Document]", model: str, fields: Mapping[str, Any], *, now: datetime
) -> Document | None:
    """Compare the sources, and record a new foreign move or the end of an old one.

    Nothing is recorded while the platform itself moves the pointer.

    Returns:
        The entry of the foreign move that is not settled yet; None if there is none.
    """
    before = _moves_so_far(log, model)
    pointer = pointer_of(client, log, model)
    # A promotion that runs, or that ended between the two looks, would show half of its moves.
    if before is None or _moves_so_far(log, model) != before:
        return None
    unsettled: Document = {"model": model, "kind": FOREIGN_MOVE, "state": UNSETTLED}
    where = {"stage": list(pointer.stage), "alias": pointer.alias, "from_version": pointer.audited}
    end = {"$set": {"state": SETTLED, "settled_at": now}}
    if not pointer.is_foreign:
        log.update_many(unsettled, end)
        return None
    log.update_many({**unsettled, "$nor": [where]}, end)
    entry = {**fields, **_who(client, pointer), "version": _one(pointer), "reason": pointer.sentence, "at": now}
    log.update_one({**unsettled, **where}, {"$setOnInsert": entry}, upsert=True)
    return log.find_one({**unsettled, **where})


def index_unsettled_moves(log: "Collection[Document]") -> None:
    """Create the index that finds unsettled moves in a long log."""
    log.create_index([("state", 1), ("model", 1)], name=_UNSETTLED_INDEX, partialFilterExpression={"state": UNSETTLED})


def unsettled_moves(log: "Collection[Document]", models: Sequence[str]) -> list[Document]:
    """The foreign moves of these models that nobody has settled yet."""
    return list(log.find({"state": UNSETTLED, "model": {"$in": list(models)}, "kind": FOREIGN_MOVE}))


def _moves_so_far(log: "Collection[Document]", model: str) -> str | None:
    """`_id` of the newest move, empty if there is none; None while the platform moves the pointer."""
    if log.find_one({"model": model, "state": OPEN}, {"_id": 1}):
        return None
    last = last_move(log, model)
    return str(last["_id"]) if last else ""


def _one(pointer: Pointer) -> str | None:
    return pointer.stage[0] if len(pointer.stage) == 1 else None


def _who(client: "MlflowClient", pointer: Pointer) -> Document:
    """What MLflow knows: who registered the version that is there now, and when it was last changed.

    Neither is the move itself, which MLflow does not record.
    """
    from mlflow.exceptions import MlflowException

    number = _one(pointer)
    if number is None:
        return {"actor": None, "registered_by": None, "last_changed": None}
    version = client.get_model_version(pointer.model, number)
    registered_by = version.user_id
    try:
        tags = client.get_run(version.run_id).data.tags if version.run_id else {}
        registered_by = registered_by or tags.get(_RUN_USER_TAG)
    except MlflowException:
        # The run was deleted, or belongs to another server.
        registered_by = registered_by or None
    return {"actor": None, "registered_by": registered_by, "last_changed": version.last_updated_timestamp}


def adopt(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    *,
    reason: str,
    fields: Mapping[str, Any],
    now: datetime,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Pointer:
    """Accept the version that somebody else put into Production: set the aliases and record it in the audit log.

    Args:
        client: of the registry.
        log: the audit log.
        model: name of the registered model.
        reason: why, in the words of a person.
        fields: more fields of the audit log: the specialist, the actor.
        now: time for the audit log.
        wait_s: seconds to wait for a promotion of the same model.
        lease_s: see `hold_lock`.

    Returns:
        The pointer as it was found. If it is not foreign, and the audit log knows the version, nothing was changed.

    Raises:
        UsageError: the reason is missing, or not exactly one version is in Production.
        RegistryError: a promotion did not end in time, or the registry does not show what was written.
    """
    if not reason.strip():
        raise UsageError("an adoption needs a reason: say why, for the people who read the audit log")
    entry = {**fields, "kind": ADOPTION, "reason": reason, "at": now}
    with hold_lock(
        log, model, entry, recover=partial(recover, client, now=now), wait_s=wait_s, lease_s=lease_s
    ) as lock:
        pointer = pointer_of(client, log, model)
        if len(pointer.stage) != 1:
            lock.discard()
            raise UsageError(_not_one(pointer))
        if pointer.audited is not None and not pointer.is_foreign:
            lock.discard()
            return pointer
        champion = pointer.stage[0]
        previous = pointer.audited if _is_archived(client, model, pointer.audited) else None
        lock.update(version=champion, **plan_moves(champion, champion=pointer.audited, previous=previous))
        apply_moves(client, lock)
        lock.release("done", kind=DONE_KINDS[ADOPTION], finished_at=now)
        return pointer


def _not_one(pointer: Pointer) -> str:
    if not pointer.stage:
        return (
            f"{pointer.model} has no version in {PRODUCTION}, so there is nothing to adopt: put a version back with"
            f" `nhm rollback {specialist_of(pointer.model)} --to VERSION --reason TEXT`"
        )
    return (
        f"{pointer.model} has versions {', '.join(pointer.stage)} in stage {PRODUCTION}: archive all but the one that"
        " should serve, then run this again"
    )


def _is_archived(client: "MlflowClient", model: str, number: str | None) -> bool:
    version = version_if_any(client, model, number) if number else None
    return version is not None and version.current_stage == ARCHIVED


def restore(
    client: "MlflowClient",
    log: "Collection[Document]",
    model: str,
    *,
    fields: Mapping[str, Any],
    now: datetime,
    wait_s: float,
) -> Pointer:
    """Move the pointer back to where the audit log says that it was (RESTORE_FOREIGN_MOVES).

    Returns:
        The pointer as it was found. If it is not foreign, nothing was changed.

    Raises:
        RegistryError: the version of the audit log no longer exists, or a promotion did not end in time.
    """
    entry = {**fields, "kind": RESTORATION, "reason": "somebody else moved it (RESTORE_FOREIGN_MOVES)", "at": now}
    with hold_lock(log, model, entry, recover=partial(recover, client, now=now), wait_s=wait_s) as lock:
        pointer = pointer_of(client, log, model)
        if not pointer.is_foreign or pointer.audited is None:
            lock.discard()
            return pointer
        if version_if_any(client, model, pointer.audited) is None:
            lock.discard()
            raise RegistryError(f"{model} version {pointer.audited} no longer exists")
        before = (last_move(log, model) or {}).get("previous")
        previous = before if _is_archived(client, model, before) else None
        moves = plan_moves(pointer.audited, champion=_one(pointer), previous=previous)
        lock.update(version=pointer.audited, **moves)
        apply_moves(client, lock)
        lock.release("done", kind=DONE_KINDS[RESTORATION], finished_at=now)
        return pointer
