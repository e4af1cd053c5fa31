"""Which version served when, as the audit log tells it.

Specialists load a version when they start, but write the registry's number into each opinion. So from a promotion until
the end of the restart that it causes, opinions carry the new number while the old version may still answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.registry.foreign_moves import FOREIGN_MOVE
from nhm_assets.registry.promotion_lock import OPEN
from nhm_assets.registry.recovery import DONE_KINDS
from nhm_assets.registry.rollout_lock import SLOTS
from nhm_assets.rollout.restart import ALREADY_RUNNING, NO_REPLICAS, ROLLED_OUT

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
_CACHED_FOR: Final = timedelta(hours=1)
"""Specialists repeat an opinion for so long without asking a model again."""
_SAME_CLOCK: Final = timedelta(days=1)
_RESTARTED: Final = (ROLLED_OUT, ALREADY_RUNNING, NO_REPLICAS)
"""Results after which every pod that answers has loaded the version, or will do so when it starts."""


@dataclass(frozen=True)
class Serving:
    """A version in Production.

    Attributes:
        since: when it was put there.
        loaded: from when on its number says that it answered; FOREVER if its restart has not ended well.
    """

    version: str
    since: datetime
    loaded: datetime


@dataclass(frozen=True)
class ServingTimes:
    """The versions in Production, oldest first."""

    servings: Sequence[Serving]

    def at(self, moment: datetime) -> Serving | None:
        """The version in Production at this time; None if the audit log does not tell."""
        return next((one for one in reversed(self.servings) if one.since <= moment), None)

    def in_gap(self, moment: datetime) -> bool:
        """Whether this is between a promotion and the end of its restart."""
        serving = self.at(moment)
        return serving is not None and moment < serving.loaded

    def is_unexpected(self, moment: datetime, version: str) -> bool:
        """Whether another version should have answered at this time. Repeated opinions are expected for an hour."""
        serving = self.at(moment)
        return serving is not None and version != serving.version and moment >= _later(serving.loaded, _CACHED_FOR)


def read_serving_times(log: "Collection[Document]", model: str, until: datetime) -> ServingTimes:
    """The serving times of a model up to a time, from the audit log."""
    kinds = [*sorted(DONE_KINDS.values()), FOREIGN_MOVE]
    fields = dict.fromkeys(("version", "at", "kind", "settled_at"), 1)
    moves = log.find({"model": model, "kind": {"$in": kinds}, "state": {"$ne": OPEN}}, fields)
    restarts = log.find({"model": {"$in": SLOTS}, "registered_model": model})
    return serving_times(list(moves), list(restarts), until)


def serving_times(
    moves: Sequence[Mapping[str, Any]], restarts: Sequence[Mapping[str, Any]], until: datetime
) -> ServingTimes:
    """The serving times by entries of the audit log, in any order.

    Args:
        moves: entries that put a version into Production.
        restarts: entries of rollouts, also of one in progress.
        until: later moves are left out, and so are restarts that began later.
    """
    valid = [move for move in moves if isinstance(move.get("at"), datetime) and move["at"] <= until]
    valid = [move for move in valid if move.get("version") is not None and not move.get("settled_at")]
    ordered = sorted(valid, key=lambda move: move["at"])
    begun = [one for one in restarts if isinstance(one.get("at"), datetime) and one["at"] <= until]
    ends = [*(move["at"] for move in ordered), FOREVER][1:]
    return ServingTimes([_serving(move, end, begun) for move, end in zip(ordered, ends, strict=True)])


def _serving(move: Mapping[str, Any], until: datetime, restarts: Sequence[Mapping[str, Any]]) -> Serving:
    """The serving that a move began, and that ended with the next one."""
    version, since = str(move["version"]), move["at"]
    own = [one for one in restarts if str(one.get("version")) == version and since <= one["at"] < until]
    done = [_end_of(one) for one in own if one.get("result") in _RESTARTED]
    if not own:
        # Nobody knows when its pods restarted, as without a cluster: the number in the opinions is all there is.
        return Serving(version, since, since)
    return Serving(version, since, min(done, default=FOREVER))


def _end_of(restart: Mapping[str, Any]) -> datetime:
    """When a restart ended: by the server's clock, or by its duration where NHM_NOW had set another time."""
    began: datetime = restart["at"]
    released = restart.get("released_at")
    if isinstance(released, datetime) and timedelta() <= released - began < _SAME_CLOCK:
        return released
    return began + timedelta(seconds=float(restart.get("seconds") or 0))


def _later(moment: datetime, by: timedelta) -> datetime:
    return FOREVER if moment >= FOREVER - by else moment + by
