"""Carries out what a lock records: by its owner, or by the process that takes an abandoned lock over."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.outcomes import ROLLED_BACK, shortened
from nhm_assets.registry.promotion_lock import LEASE_S, PromotionLock, finish_abandoned_work
from nhm_assets.registry.transitions import delete_previous_alias, put_into_production
from nhm_assets.registry.versions import version_if_any, version_in_production
from nhm_assets.registry.vocabulary import ARCHIVED, PRODUCTION, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

    from resources.mlflow import Mlflow

Document = dict[str, Any]

PROMOTION: Final = "promotion"
ROLLBACK: Final = "rollback"
ADOPTION: Final = "adoption"
RESTORATION: Final = "restoration"
DONE_KINDS: Final = {
    PROMOTION: "promoted",
    ROLLBACK: ROLLED_BACK,
    ADOPTION: "adopted",
    RESTORATION: "restored",
}
"""Kind of an open lock -> kind of its finished entry in the audit log."""


def last_move(log: "Collection[Document]", model: str) -> Document | None:
    """The newest entry of the audit log that put a version of this model into Production; None if there is none."""
    query = {"model": model, "kind": {"$in": sorted(DONE_KINDS.values())}}
    return log.find_one(query, sort=[("released_at", -1), ("at", -1)])


def audited_version(log: "Collection[Document]", model: str) -> str | None:
    """The number of the version that the platform put into Production last; None if it has put none there."""
    last = last_move(log, model)
    return str(last["version"]) if last else None


def champion_of(client: "MlflowClient", log: "Collection[Document]", model: str) -> "ModelVersion | None":
    """The version in stage Production; None if there is none.

    Complete whatever others moved: what the platform put there is found beside a newer version with stage and alias.

    Raises:
        RegistryError: several versions are in that stage.
    """
    return version_in_production(client, model, audited=audited_version(log, model))


def version_at(log: "Collection[Document]", model: str, moment: datetime) -> str | None:
    """The version that the platform had in Production at that time; None if it had put none there."""
    query = {"model": model, "kind": {"$in": sorted(DONE_KINDS.values())}, "at": {"$lte": moment}}
    move = log.find_one(query, {"version": 1}, sort=[("at", -1), ("released_at", -1)])
    return str(move["version"]) if move else None


def was_champion(log: "Collection[Document]", model: str, version: str) -> bool:
    """Whether the platform has ever put this version into Production."""
    query = {"model": model, "version": version, "kind": {"$in": sorted(DONE_KINDS.values())}}
    return log.find_one(query, {"_id": 1}) is not None


def plan_moves(version: str, *, champion: str | None, previous: str | None) -> dict[str, Any]:
    """The fields of a lock that record what is about to be done.

    Args:
        version: the version that goes into Production.
        champion: the version in Production now; None if there is none.
        previous: the version that the alias `previous` will name; None for no version.
    """
    transitions = [{"version": version, "to_stage": PRODUCTION}]
    if champion is not None and champion != version:
        transitions.append({"version": champion, "from_stage": PRODUCTION, "to_stage": ARCHIVED})
    return {"from_version": champion, "previous": previous, "transitions": transitions}


def apply_moves(client: "MlflowClient", lock: PromotionLock) -> None:
    """Apply the moves that the lock records; a move that is already done is skipped."""
    document = lock.document
    model, version, from_version = document["model"], document["version"], document["from_version"]
    if document["kind"] == ROLLBACK:
        if from_version != version:
            _tag_rolled_back(client, lock, from_version, document["reason"])
        _untag_rolled_back(client, lock, version)
        if document["previous"] is None:
            # It may name a version that this rollback skipped, and that the next one must not choose.
            delete_previous_alias(client, model, lock.assert_lease)
    put_into_production(
        client,
        model,
        version,
        previous=document["previous"],
        audited=audited_version(lock.log, model),
        assert_lease=lock.assert_lease,
    )


def _tag_rolled_back(client: "MlflowClient", lock: PromotionLock, version: str | None, reason: str) -> None:
    model = lock.document["model"]
    if version is not None and version_if_any(client, model, version):
        lock.assert_lease()
        # MLflow refuses a long tag, and then nobody could finish this rollback. The audit log has all of it.
        client.set_model_version_tag(model, version, ROLLED_BACK_TAG, shortened(reason))


def _untag_rolled_back(client: "MlflowClient", lock: PromotionLock, version: str) -> None:
    """A person wants this version back, so an earlier rollback of it no longer counts."""
    model = lock.document["model"]
    if ROLLED_BACK_TAG in client.get_model_version(model, version).tags:
        lock.assert_lease()
        client.delete_model_version_tag(model, version, ROLLED_BACK_TAG)


def repair_interrupted(
    mlflow: "Mlflow", log: "Collection[Document]", model: str, *, now: datetime, lease_s: float = LEASE_S
) -> None:
    """Finish or undo a promotion or rollback of this model that a dead process has left half done.

    Every run begins with this, whatever its outcome will be. MLflow is asked only if something was interrupted.
    """

    def finish(abandoned: PromotionLock) -> None:
        with mlflow.client() as client:
            recover(client, abandoned, now=now)

    finish_abandoned_work(log, model, finish, lease_s=lease_s)


def recover(client: "MlflowClient", lock: PromotionLock, *, now: datetime) -> None:
    """Finish or undo what an abandoned lock records, and release it.

    Without `from_version`, nothing was moved and nothing needs to be done. Otherwise, the recorded moves are finished.
    If the version no longer exists, they are undone: the version before it goes back into Production, if it exists.
    """
    document = lock.document
    if "from_version" not in document:
        lock.release("abandoned", kind="abandoned", finished_at=now)
        return
    model, from_version = document["model"], document["from_version"]
    if version_if_any(client, model, document["version"]):
        if document["previous"] is not None and version_if_any(client, model, document["previous"]) is None:
            lock.update(previous=None)
        apply_moves(client, lock)
        lock.release("done", kind=DONE_KINDS[document["kind"]], finished_at=now, repaired=True)
        return
    if from_version is not None and version_if_any(client, model, from_version):
        put_into_production(client, model, from_version, previous=None, assert_lease=lock.assert_lease)
    lock.release("undone", kind="undone", finished_at=now, repaired=True)
