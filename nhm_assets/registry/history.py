"""The history of the Production pointer, as the audit log tells it: who moved what, when, why; what was there when."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.outcomes import Outcome
from nhm_assets.domain.specialists import Specialist, configured_specialist
from nhm_assets.registry.foreign_moves import FOREIGN_MOVE
from nhm_assets.registry.promotion_lock import OPEN
from nhm_assets.registry.recovery import DONE_KINDS

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

_MOVES: Final = (*sorted(DONE_KINDS.values()), FOREIGN_MOVE)
"""Kinds of entries after which another version may be in Production."""
_OUTCOMES: Final = tuple(sorted({*map(str, set(Outcome) - {Outcome.REFUSED}), *_MOVES}))
"""Kinds of entries that say how a run ended, or that the pointer was moved. A refused request changes neither."""
_JUDGED: Final = (Outcome.PROMOTED, Outcome.HELD, Outcome.SUPERSEDED)
"""Kinds of entries that carry a candidate's metrics."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def time_of(entry: Document) -> datetime:
    """When the entry took effect: the end of a move by the server's clock, else the time that it records."""
    moment = entry.get("released_at") or entry.get("at")
    return moment if isinstance(moment, datetime) else _LONG_AGO


def known_specialist(log: "Collection[Document]", name: str) -> Specialist | None:
    """The specialist with this name, also one that was taken out of the configuration; None if there never was one.

    Of one that was taken out, only the log knows the model: it is the one that it had last.
    """
    if configured := configured_specialist(name):
        return configured
    entry = log.find_one({"specialist": name, "model": {"$type": "string"}}, {"model": 1}, sort=[("at", -1)])
    return Specialist(name, model=entry["model"]) if entry else None


def entries(
    log: "Collection[Document]", model: str, *, since: datetime | None = None, version: str | None = None
) -> list[Document]:
    """The decisions about a model, newest first.

    Args:
        log: the audit log.
        model: name of the registered model.
        since: only those that took effect at this time or later.
        version: only those about this version, or that moved it away or deleted its files.
    """
    query: Document = {"model": model, "state": {"$ne": OPEN}}
    if version is not None:
        query["$or"] = [{"version": version}, {"from_version": version}, {"versions": version}]
    found = sorted(log.find(query), key=time_of, reverse=True)
    return [entry for entry in found if since is None or time_of(entry) >= since]


def newest_outcome(log: "Collection[Document]", model: str) -> Document | None:
    """The newest entry that says how a run ended, or that the pointer was moved; None if there is none."""
    query = {"model": model, "state": {"$ne": OPEN}, "kind": {"$in": list(_OUTCOMES)}}
    return log.find_one(query, sort=[("at", -1), ("released_at", -1)])


def judged_since(log: "Collection[Document]", models: Sequence[str], since: datetime) -> list[Document]:
    """The entries of candidates of these models that were judged, with their metrics, by the end of their windows.

    Args:
        log: the audit log.
        models: names of the registered models.
        since: only candidates whose window ends later.
    """
    query: Document = {"model": {"$in": list(models)}, "kind": {"$in": list(map(str, _JUDGED))}}
    found = log.find(query | {"window.end": {"$gt": since}, "metrics.f1": {"$type": "number"}, "state": {"$ne": OPEN}})
    return sorted(found, key=lambda entry: (entry["window"]["end"], entry["at"]))


def in_production_at(log: "Collection[Document]", model: str, moment: datetime) -> Document | None:
    """The entry that had put the version into Production that was there at this time; None if none is recorded.

    A move by somebody else counts from when it was found. If it was taken back in MLflow, what was there before counts
    again, from when that was noticed.
    """
    moves = log.find({"model": model, "kind": {"$in": list(_MOVES)}, "state": {"$ne": OPEN}})
    valid = [entry for entry in moves if time_of(entry) <= moment]
    standing = [entry for entry in valid if not _was_taken_back(entry, valid, moment)]
    return max(standing, key=time_of, default=None)


def _was_taken_back(entry: Document, moves: Sequence[Document], moment: datetime) -> bool:
    """Whether this is a move by somebody else that ended before that time, without a move of ours."""
    settled = entry.get("settled_at")
    if entry["kind"] != FOREIGN_MOVE or not isinstance(settled, datetime) or settled > moment:
        return False
    return not any(time_of(entry) < time_of(other) <= settled for other in moves)
