"""The collection `retraining_triggers`: what started a retraining, why, and its outcome.

The schedule or the sensor claims a document before it requests its run. If several evaluations happen at the same
time, one gets the claim. If its owner dies before the run exists, the claim expires and the next evaluation requests
the same run. Claims expire by the clock of the MongoDB server.
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
"""Values of `status` before there is an outcome."""

FEEDBACK_VOLUME: Final = "feedback_volume"
WEEKLY: Final = "weekly"
OTHER: Final = "other"
"""Values of `kind`: the sensor, the schedule, or anything else (a person, a backfill, a program)."""


@dataclass(frozen=True)
class Trigger:
    """The fields of one document that decisions depend on.

    Attributes:
        number: counts the sensor's triggers of a specialist; 0 for other kinds.
        run_id: the launched run, once it is known.
    """

    id: str
    partition: Partition
    number: int
    status: str
    run_id: str | None
    requested_at: datetime

    @property
    def run_key(self) -> str:
        """The key by which Dagster recognizes its run."""
        return self.id


def last_volume_trigger(triggers: "Collection[Document]", specialist: Specialist) -> Trigger | None:
    """The sensor's newest trigger of a specialist."""
    document = triggers.find_one({"kind": FEEDBACK_VOLUME, "specialist": str(specialist)}, sort=[("number", -1)])
    if document is None:
        return None
    return Trigger(
        id=document["_id"],
        partition=Partition(document["week"], specialist),
        number=document["number"],
        status=document["status"],
        run_id=document.get("run_id"),
        requested_at=document["requested_at"],
    )


def volume_trigger_id(specialist: Specialist, number: int, since: datetime | None) -> str:
    """`_id` of the sensor's n-th trigger of a specialist, so that two evaluations cannot both create the next one.

    It is also a run key, and Dagster never forgets one. If the collection is lost and numbers start again, `since`,
    the time from which feedback was counted, still makes it a new key.
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
    """The result of an attempt to claim a document."""

    OURS = "ours"
    """This evaluation requests the run."""
    THEIRS = "theirs"
    """Another evaluation has just requested it."""
    SETTLED = "settled"
    """Its run was launched before."""


def claim(triggers: "Collection[Document]", trigger_id: str, fields: Mapping[str, object], *, lease_s: float) -> Claim:
    """Create the document, or take over one whose owner never launched its run.

    Args:
        triggers: the collection.
        trigger_id: `_id` of the document.
        fields: content of a new document.
        lease_s: seconds that the owner has to launch the run.

    Returns:
        Who requests the run.
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


def mark_launched(triggers: "Collection[Document]", trigger_id: str, run_id: str, now: datetime) -> None:
    """Record that the run of a trigger exists."""
    triggers.update_one(
        {"_id": trigger_id, "status": REQUESTED},
        {"$set": {"status": LAUNCHED, "run_id": run_id, "launched_at": now}, "$unset": {"claimed_until": 1}},
    )


def mark_expired(triggers: "Collection[Document]", trigger_id: str) -> None:
    """Give up a trigger whose run was never launched, once its claim has expired."""
    triggers.update_one(
        {"_id": trigger_id, "status": REQUESTED, "$expr": {"$lt": ["$claimed_until", "$$NOW"]}},
        {"$set": {"status": EXPIRED}, "$unset": {"claimed_until": 1}},
    )


def record_outcome(
    triggers: "Collection[Document]", trigger_id: str, origin: Mapping[str, object], result: Mapping[str, object]
) -> None:
    """Record the outcome of a run in its trigger's document, which is new for runs of people and backfills.

    Args:
        triggers: the collection.
        trigger_id: `_id` of the document.
        origin: fields of a new document that say where the run comes from.
        result: status, run id, reason and times.
    """
    fresh = {name: value for name, value in origin.items() if name not in result}
    triggers.update_one(
        {"_id": trigger_id}, {"$set": dict(result), "$setOnInsert": fresh, "$unset": {"claimed_until": 1}}, upsert=True
    )
