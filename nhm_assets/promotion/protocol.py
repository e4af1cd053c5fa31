"""The promotion of one candidate: one at a time per specialist, and recoverable after every interruption."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.errors import ChampionChanged, RegistryError
from nhm_assets.domain.outcomes import HeldAs, Outcome
from nhm_assets.domain.specialists import specialist_of
from nhm_assets.registry.ab_tests import why_it_waits
from nhm_assets.registry.promotion_lock import LEASE_S, hold_lock
from nhm_assets.registry.recovery import DONE_KINDS, PROMOTION, apply_moves, champion_of, plan_moves, recover
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import window_end
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

Document = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A request to promote a candidate that passed the gate.

    Attributes:
        window_end: end of the candidate's window, in UTC. An older candidate never replaces a newer champion.
        compared_with: number of the version that the gate compared with; None if none was in Production. The candidate
            replaces no other version.
        fields: more fields of the audit log: actor, reason, metrics, runs.
    """

    model: str
    version: str
    window_end: datetime
    compared_with: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """The result of a request.

    Attributes:
        previous: the version in Production before; None if there was none.
        audit_id: `_id` of the document in the audit log; None if nothing was moved.
        held_as: of a held candidate; None otherwise.
    """

    outcome: Outcome
    reason: str
    previous: str | None
    audit_id: str | None
    held_as: HeldAs | None = None


def promote(
    client: "MlflowClient",
    log: "Collection[Document]",
    request: Request,
    *,
    now: datetime,
    wait_s: float,
    lease_s: float = LEASE_S,
) -> Decision:
    """Put the version into Production, unless a version with a newer window is there.

    Args:
        client: of the registry.
        log: the audit log.
        request: the candidate.
        now: time for the audit log.
        wait_s: seconds to wait for another promotion of the same model.
        lease_s: see `hold_lock`.

    Raises:
        ChampionChanged: the champion is not the version that the gate compared with.
        RegistryError: another promotion did not end in time, or the registry does not show what was written.
    """
    fields = {**request.fields, "kind": PROMOTION, "version": request.version, "at": now}
    recover_abandoned = partial(recover, client, now=now)
    with hold_lock(log, request.model, fields, recover=recover_abandoned, wait_s=wait_s, lease_s=lease_s) as lock:
        try:
            champion = champion_of(client, log, request.model)
            champion_version = str(champion.version) if champion else None
            decision = _decision_without_moves(client, log, request, champion, now)
        except RegistryError:
            lock.discard()
            raise
        if decision:
            lock.discard()
            return decision
        lock.update(**plan_moves(request.version, champion=champion_version, previous=champion_version))
        apply_moves(client, lock)
        lock.release("done", kind=DONE_KINDS[PROMOTION], finished_at=now)
        return Decision(Outcome.PROMOTED, "every gate check passed", champion_version, lock.id)


def _decision_without_moves(
    client: "MlflowClient",
    log: "Collection[Document]",
    request: Request,
    champion: "ModelVersion | None",
    now: datetime,
) -> Decision | None:
    """The decision if nothing has to be moved; None if the candidate is to be promoted now."""
    number = str(champion.version) if champion else None
    if reason := superseded_by(champion, request.window_end):
        return Decision(Outcome.SUPERSEDED, reason, number, None)
    if reason := promotion_blocked_reason(client, request.model, request.version):
        # A person or a deleted file holds it, and no estimate does: next week's rows change nothing.
        return Decision(Outcome.HELD, reason, number, None, HeldAs.BELOW)
    if number != request.version:
        if reason := why_it_waits(log, request.model, request.version, now):
            return Decision(Outcome.HELD, reason, number, None, HeldAs.UNCERTAIN)
        _require_compared_champion(request, number)
    elif not registry_faults(client, request.model, request.version):
        return Decision(Outcome.PROMOTED, "already in Production", number, None)
    return None


def _require_compared_champion(request: Request, champion: str | None) -> None:
    """Refuse to replace a version that the candidate was never compared with."""
    if champion == request.compared_with:
        return
    now = f"version {champion} is in Production" if champion else "no version is in Production"
    compared = f"with version {request.compared_with}" if request.compared_with else "when no version was there"
    raise ChampionChanged(
        f"{request.model} version {request.version} is not promoted: {now}, but the gate compared the candidate"
        f" {compared}. Run the retraining again: it evaluates the candidate again"
    )


def superseded_by(champion: "ModelVersion | None", end: datetime) -> str | None:
    """Why a candidate whose window ends at `end` must not replace the champion; None if it may."""
    champion_end = window_end(champion) if champion else None
    if champion is None or champion_end is None or champion_end <= end:
        return None
    return (
        f"the champion (version {champion.version}) learned from a newer window: it ends {champion_end:%Y-%m-%d %H:%M},"
        f" this one ends {end:%Y-%m-%d %H:%M}"
    )


def promotion_blocked_reason(client: "MlflowClient", model: str, version: str) -> str | None:
    """Why a version must not be promoted: it was rolled back, or its files were deleted; else None."""
    tags = client.get_model_version(model, version).tags
    if FILES_DELETED_TAG in tags:
        return f"version {version} cannot serve: its files were deleted (KEEP_VERSIONS). Train the partition again"
    if ROLLED_BACK_TAG not in tags:
        return None
    return (
        f"version {version} was rolled back ({tags[ROLLED_BACK_TAG]}) and is not promoted again automatically."
        f" To bring it back, run `nhm rollback {specialist_of(model)} --to {version} --reason TEXT`"
    )
