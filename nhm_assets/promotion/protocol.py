"""The promotion of one candidate: one at a time per specialist, and repairable after any interruption."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.registry.promotion_lock import LEASE_S, Intent, hold_intent
from nhm_assets.registry.recovery import DONE_KINDS, PROMOTION, apply_moves, finish_or_undo, plan_moves
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_in_production, window_end
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

Document = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A promotion that the gate allows.

    Attributes:
        window_end: of the candidate, in UTC: an older one never displaces a newer one.
        fields: what the audit log says about it: who, why, metrics, runs.
    """

    model: str
    version: str
    window_end: datetime
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """What became of a request.

    Attributes:
        previous: the version that was in Production before; None where there was none.
        audit_id: `_id` of the document in the audit log; None where nothing was moved.
    """

    outcome: Outcome
    reason: str
    previous: str | None
    audit_id: str | None


def promote(
    client: "MlflowClient",
    log: "Collection[Document]",
    request: Request,
    *,
    now: datetime,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Decision:
    """Put the version into Production, unless one with a newer window is there.

    Args:
        client: of the registry.
        log: the audit log.
        request: what is asked for.
        now: time for the log.
        wait_s: seconds to wait for another promotion of the same model.
        lease_s: see `hold_intent`.

    Raises:
        RegistryError: another promotion does not end, or the registry does not keep what was written.
    """

    def repair(abandoned: Intent) -> None:
        finish_or_undo(client, abandoned, now=now)

    fields = {**request.fields, "kind": PROMOTION, "version": request.version, "at": now}
    with hold_intent(log, request.model, fields, repair=repair, wait_s=wait_s, lease_s=lease_s) as intent:
        try:
            champion = version_in_production(client, request.model)
        except RegistryError:
            intent.withdraw()
            raise
        current = str(champion.version) if champion else None
        if reason := superseded_by(champion, request.window_end):
            intent.withdraw()
            return Decision(Outcome.SUPERSEDED, reason, current, None)
        if reason := promotion_blocked_reason(client, request.model, request.version):
            intent.withdraw()
            return Decision(Outcome.HELD, reason, current, None)
        if current == request.version and not registry_faults(client, request.model, request.version):
            intent.withdraw()
            return Decision(Outcome.PROMOTED, "it is the version in Production already", current, None)
        intent.note(**plan_moves(request.version, leaving=current, previous=current))
        apply_moves(client, intent)
        intent.close("done", kind=DONE_KINDS[PROMOTION], finished_at=now)
        return Decision(Outcome.PROMOTED, "every gate check passed", current, intent.id)


def superseded_by(champion: "ModelVersion | None", end: datetime) -> str | None:
    """Why a candidate whose window ends at `end` cannot displace the champion; None where it can."""
    newest = window_end(champion) if champion else None
    if champion is None or newest is None or newest <= end:
        return None
    return (
        f"version {champion.version} in Production learned from a window that ends later ({newest:%Y-%m-%d %H:%M})"
        f" than this one ({end:%Y-%m-%d %H:%M})"
    )


def promotion_blocked_reason(client: "MlflowClient", model: str, version: str) -> str | None:
    """Why a version is promoted no more: it was taken out of Production, or has lost its files; else None."""
    tags = client.get_model_version(model, version).tags
    if FILES_DELETED_TAG in tags:
        return f"version {version} cannot serve: its files were deleted (KEEP_VERSIONS); train the partition again"
    if ROLLED_BACK_TAG not in tags:
        return None
    return (
        f"version {version} was rolled back ({tags[ROLLED_BACK_TAG]}) and is not promoted again by itself;"
        f" `nhm rollback --to {version} SPECIALIST --reason TEXT` brings it back"
    )
