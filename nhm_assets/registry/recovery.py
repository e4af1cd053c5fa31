"""What an open intent stands for, carried out: by its owner, or by whoever finds it abandoned."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.registry.promotion_lock import Intent
from nhm_assets.registry.transitions import forget_previous, put_into_production
from nhm_assets.registry.versions import version_if_any
from nhm_assets.registry.vocabulary import ARCHIVED, PRODUCTION, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTION: Final = "promotion"
ROLLBACK: Final = "rollback"
DONE_KINDS: Final = {PROMOTION: "promoted", ROLLBACK: "rolled_back"}
"""Kind of an open intent -> kind of the audit log's entry that it becomes."""


def plan_moves(version: str, *, leaving: str | None, previous: str | None) -> dict[str, Any]:
    """The fields of an intent that say what is about to be done.

    Args:
        version: goes into Production.
        leaving: is there now; None where there is none.
        previous: what the alias `previous` is to name; None for nothing.
    """
    transitions = [{"version": version, "to_stage": PRODUCTION}]
    if leaving is not None and leaving != version:
        transitions.append({"version": leaving, "from_stage": PRODUCTION, "to_stage": ARCHIVED})
    return {"from_version": leaving, "previous": previous, "transitions": transitions}


def apply_moves(client: "MlflowClient", intent: Intent) -> None:
    """Make the moves that the intent has noted; each that is done already is left."""
    document = intent.document
    model, version, left = document["model"], document["version"], document["from_version"]
    if document["kind"] == ROLLBACK:
        if left != version:
            _mark(client, intent, model, left, document["reason"])
        _unmark(client, intent, model, version)
        if document["previous"] is None:
            # It may name a version that was passed over, and that the next rollback must not choose.
            forget_previous(client, model, intent.assert_lease)
    put_into_production(client, model, version, previous=document["previous"], guard=intent.assert_lease)


def _mark(client: "MlflowClient", intent: Intent, model: str, version: str | None, reason: str) -> None:
    if version is not None and version_if_any(client, model, version):
        intent.assert_lease()
        client.set_model_version_tag(model, version, ROLLED_BACK_TAG, reason)


def _unmark(client: "MlflowClient", intent: Intent, model: str, version: str) -> None:
    """Somebody wants this version again, whatever was said of it before."""
    if ROLLED_BACK_TAG in client.get_model_version(model, version).tags:
        intent.assert_lease()
        client.delete_model_version_tag(model, version, ROLLED_BACK_TAG)


def finish_or_undo(client: "MlflowClient", intent: Intent, *, now: datetime) -> None:
    """Bring an abandoned intent to its end.

    Without a `from_version` nothing was moved yet, so nothing is. Otherwise it had been decided and the moves
    are finished; only where the version is gone by now, Production goes back to the one before.
    """
    document = intent.document
    if "from_version" not in document:
        intent.close("abandoned", kind="abandoned", finished_at=now)
        return
    if version_if_any(client, document["model"], document["version"]):
        apply_moves(client, intent)
        intent.close("done", kind=DONE_KINDS[document["kind"]], finished_at=now, repaired=True)
        return
    if document["from_version"] is not None:
        put_into_production(
            client, document["model"], document["from_version"], previous=None, guard=intent.assert_lease
        )
    intent.close("undone", kind="undone", finished_at=now, repaired=True)
