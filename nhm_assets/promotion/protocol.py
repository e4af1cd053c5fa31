"""The promotion of one candidate: one at a time per specialist, and repairable after any interruption."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nhm_assets.outcomes import Outcome
from nhm_assets.promotion.intent import LEASE_S, Intent, hold_intent
from nhm_assets.promotion.moves import put_into_production, registry_faults
from nhm_assets.registry import ARCHIVED, PRODUCTION, version_in_production, window_end

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

    fields = {**request.fields, "kind": "promotion", "version": request.version, "at": now}
    with hold_intent(log, request.model, fields, repair=repair, wait_s=wait_s, lease_s=lease_s) as intent:
        champion = version_in_production(client, request.model)
        current = str(champion.version) if champion else None
        if reason := superseded_by(champion, request.window_end):
            intent.withdraw()
            return Decision(Outcome.SUPERSEDED, reason, current, None)
        if current == request.version and not registry_faults(client, request.model, request.version):
            intent.withdraw()
            return Decision(Outcome.PROMOTED, "it is the version in Production already", current, None)
        intent.note(from_version=current, transitions=_transitions(request.version, current))
        _move(client, intent)
        intent.close("done", kind="promoted", finished_at=now)
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


def finish_or_undo(client: "MlflowClient", intent: Intent, *, now: datetime) -> None:
    """Bring an abandoned intent to its end.

    Without a `from_version` nothing was moved yet, so nothing is. Otherwise the gate had been passed and
    the moves are finished; only where the version is gone by now, Production goes back to the one before.
    """
    document = intent.document
    if "from_version" not in document:
        intent.close("abandoned", kind="abandoned", finished_at=now)
        return
    if _exists(client, document["model"], document["version"]):
        _move(client, intent)
        intent.close("done", kind="promoted", finished_at=now, repaired=True)
        return
    if document["from_version"] is not None:
        put_into_production(
            client,
            document["model"],
            document["from_version"],
            previous=None,
            guard=intent.require_held,
        )
    intent.close("undone", kind="undone", finished_at=now, repaired=True)


def _move(client: "MlflowClient", intent: Intent) -> None:
    document = intent.document
    put_into_production(
        client,
        document["model"],
        document["version"],
        previous=document["from_version"],
        guard=intent.require_held,
    )


def _transitions(version: str, previous: str | None) -> list[Document]:
    entered = [{"version": version, "to_stage": PRODUCTION}]
    if previous is None or previous == version:
        return entered
    return [*entered, {"version": previous, "from_stage": PRODUCTION, "to_stage": ARCHIVED}]


def _exists(client: "MlflowClient", model: str, version: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(model, version)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True
