"""The collection `retraining_triggers`: what started a retraining, why, and what it came to.

A document is claimed before its run is asked for. Of several evaluations at the same moment one gets the claim;
where its owner dies before the run exists, the claim runs out and the next evaluation asks for the same run.
Claims are kept by the clock of the MongoDB server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

TRIGGERS: Final = "retraining_triggers"
REQUESTED: Final = "requested"
LAUNCHED: Final = "launched"
EXPIRED: Final = "expired"
RETRYING: Final = "retrying"
"""What `status` says before the outcome."""

FEEDBACK_VOLUME: Final = "feedback_volume"
WEEKLY: Final = "weekly"
OTHER: Final = "other"
"""What `kind` says: the sensor, the schedule, or a person, a backfill, a program."""


@dataclass(frozen=True)
class Trigger:
    """One document, as far as decisions rest on it.

    Attributes:
        number: counts the sensor's triggers of a specialist; 0 for others.
        run_id: the run that it launched, once that is known.
    """

    id: str
    partition: Partition
    number: int
    status: str
    run_id: str | None
    requested_at: datetime

    @property
    def run_key(self) -> str:
        """What Dagster recognizes its run by."""
        return self.id


def last_volume_trigger(triggers: "Collection[Document]", specialist: Specialist) -> Trigger | None:
    """The sensor's newest trigger of a specialist."""
    found = triggers.find_one({"kind": FEEDBACK_VOLUME, "specialist": str(specialist)}, sort=[("number", -1)])
    if found is None:
        return None
    return Trigger(
        id=found["_id"],
        partition=Partition(found["week"], specialist),
        number=found["number"],
        status=found["status"],
        run_id=found.get("run_id"),
        requested_at=found["requested_at"],
    )


def volume_trigger_id(specialist: Specialist, number: int, since: datetime | None) -> str:
    """`_id` of the sensor's n-th trigger of a specialist: two evaluations cannot both make the next one.

    It is a run key too, and Dagster never forgets one. The time from which feedback was counted keeps it a
    new one even where the collection was lost and numbers begin again.
    """
    return (
        f"{FEEDBACK_VOLUME}:{specialist}:{number}:{since:%Y%m%dT%H%M%S}"
        if since
        else f"{FEEDBACK_VOLUME}:{specialist}:{number}"
    )


def weekly_trigger_id(partition: Partition) -> str:
    """`_id` of the schedule's trigger of a partition."""
    return f"{WEEKLY}:{partition.key}"


class Claim(StrEnum):
    """What became of an attempt to claim a document."""

    OURS = "ours"
    """The run is for this evaluation to ask for."""
    THEIRS = "theirs"
    """Another evaluation has just asked for it."""
    SETTLED = "settled"
    """Its run was launched, some time ago."""


def claim(triggers: "Collection[Document]", trigger_id: str, fields: Mapping[str, object], *, lease_s: float) -> Claim:
    """Make the document, or take over one whose owner never launched its run.

    Args:
        triggers: the collection.
        trigger_id: `_id` of the document.
        fields: what it says, when it is new.
        lease_s: seconds for its owner to launch the run.

    Returns:
        Whose the run is to ask for, now.
    """
    from pymongo.errors import DuplicateKeyError

    lease: Document = {"$add": ["$$NOW", int(lease_s * 1000)]}
    literal = {name: {"$literal": value} for name, value in fields.items()}
    try:
        triggers.update_one(
            {"_id": trigger_id, "status": {"$exists": False}},
            [{"$set": {**literal, "status": REQUESTED, "claimed_until": lease}}],
            upsert=True,
        )
    except DuplicateKeyError:
        taken = triggers.update_one(
            {"_id": trigger_id, "status": REQUESTED, "$expr": {"$lt": ["$claimed_until", "$$NOW"]}},
            [{"$set": {"claimed_until": lease}}],
        )
        if taken.matched_count:
            return Claim.OURS
        waiting = triggers.find_one({"_id": trigger_id, "status": REQUESTED})
        return Claim.THEIRS if waiting else Claim.SETTLED
    return Claim.OURS


def note_launched(triggers: "Collection[Document]", trigger_id: str, run_id: str, now: datetime) -> None:
    """The run of a trigger exists."""
    triggers.update_one(
        {"_id": trigger_id, "status": REQUESTED},
        {"$set": {"status": LAUNCHED, "run_id": run_id, "launched_at": now}, "$unset": {"claimed_until": 1}},
    )


def note_expired(triggers: "Collection[Document]", trigger_id: str) -> None:
    """A trigger whose run was never launched is not asked for any more, once its owner's time is over."""
    triggers.update_one(
        {"_id": trigger_id, "status": REQUESTED, "$expr": {"$lt": ["$claimed_until", "$$NOW"]}},
        {"$set": {"status": EXPIRED}, "$unset": {"claimed_until": 1}},
    )


def note_outcome(
    triggers: "Collection[Document]", trigger_id: str, origin: Mapping[str, object], result: Mapping[str, object]
) -> None:
    """What a run came to, in its trigger's document; made here for runs that people or backfills start.

    Args:
        triggers: the collection.
        trigger_id: `_id` of the document.
        origin: what a document that is made now says of where the run comes from.
        result: status, run id, reason and times.
    """
    fresh = {name: value for name, value in origin.items() if name not in result}
    triggers.update_one(
        {"_id": trigger_id}, {"$set": dict(result), "$setOnInsert": fresh, "$unset": {"claimed_until": 1}}, upsert=True
    )
