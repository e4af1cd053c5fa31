"""The collection `retraining_triggers`: what started a retraining, why, and its outcome.

The schedule or the sensor claims a document before it requests its run. If several evaluations happen at the same
time, one gets the claim. If its owner dies before the run exists, the claim expires and the next evaluation requests
the same run. Claims expire by the clock of the MongoDB server.

Other programs read the collection to see whether a specialist was just retrained, and may have a unique index on
`trigger_id`. So each document also carries the fields and the words that they know; our own word is in `outcome`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.outcomes import UNDECIDED
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist, recorded_specialist
from resources.errors import MongoRefused

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

TRIGGERS: Final = "retraining_triggers"
REQUESTED: Final = "requested"
LAUNCHED: Final = "launched"
EXPIRED: Final = "expired"
RETRYING: Final = "retrying"
"""Values of `outcome` before the run has one."""

PENDING: Final = "pending"
_RUNNING: Final = "running"
_COMPLETED: Final = "completed"
_FAILED: Final = "failed"
"""Values of `status`, for other programs."""

FEEDBACK_VOLUME: Final = "feedback_volume"
WEEKLY: Final = "weekly"
DRIFT: Final = "drift"
OTHER: Final = "other"
"""Values of `kind`: the sensors, the schedule, or anything else (a person, a backfill, a program)."""


@dataclass(frozen=True)
class Trigger:
    """The fields of one document that decisions depend on.

    Attributes:
        number: counts the sensor's triggers of a specialist; 0 for other kinds.
        outcome: of its run, or what happened to the request so far.
        transient: whether its run broke because a service was down.
        run_id: the launched run, once it is known.
    """

    id: str
    partition: Partition
    number: int
    outcome: str
    run_id: str | None
    requested_at: datetime
    transient: bool = False

    @property
    def run_key(self) -> str:
        """The key by which Dagster recognizes its run."""
        return self.id


def newest_trigger(
    triggers: "Collection[Document]", specialist: Specialist, kind: str | None = None, *, in_full: bool = False
) -> Trigger | None:
    """The newest trigger of a specialist, of one kind or of any; `in_full` leaves those of increments out."""
    # Documents of other programs have no kind.
    query: Document = {"specialist": str(specialist), "kind": kind or {"$exists": True}}
    if in_full:
        query["increment"] = {"$ne": True}
    document = triggers.find_one(query, sort=[(_order_of(kind), -1)])
    return _trigger_in(document) if document else None


def newest_triggers(triggers: "Collection[Document]", kind: str) -> dict[str, Trigger]:
    """A sensor's newest trigger of each specialist that has one, in one query.

    Args:
        triggers: the collection.
        kind: that of the sensor.
    """
    found = triggers.aggregate(
        [
            {"$match": {"kind": kind}},
            {"$sort": {"specialist": 1, _order_of(kind): -1}},
            {"$group": {"_id": "$specialist", "newest": {"$first": "$$ROOT"}}},
        ],
        allowDiskUse=True,
    )
    return {group["_id"]: _trigger_in(group["newest"]) for group in found}


def _order_of(kind: str | None) -> str:
    """The field that says which trigger is newer. Those of the volume sensor are numbered, the others go by time."""
    return "number" if kind == FEEDBACK_VOLUME else "requested_at"


def _trigger_in(document: Document) -> Trigger:
    return Trigger(
        id=document["_id"],
        partition=Partition(document["week"], recorded_specialist(document["specialist"])),
        number=document["number"],
        outcome=document.get("outcome") or document["status"],
        run_id=document.get("run_id"),
        requested_at=document["requested_at"],
        transient=document.get("transient", False),
    )


def new_trigger(
    kind: str,
    partition: Partition,
    *,
    number: int = 0,
    count: int = 0,
    window_days: int,
    requested_at: datetime,
    increment: bool = False,
) -> Document:
    """The fields of a new document, without its id and status.

    Args:
        kind: what requested the run.
        partition: what is retrained.
        number: counts the sensor's triggers of a specialist.
        count: new feedback documents, as far as they were counted.
        window_days: days of feedback that the run learns from.
        requested_at: the time of the request.
        increment: whether the run is asked for an increment; only then, the document has a field that says so.
    """
    return {
        "kind": kind,
        "number": number,
        "specialist": str(partition.specialist),
        "week": partition.week,
        "requested_at": requested_at,
        "specialist_type": str(partition.specialist),
        "triggered_at": requested_at,
        "feedback_count": count,
        "feedback_window_days": window_days,
        "metadata": {"mlflow_run_id": None},
        **({"increment": True} if increment else {}),
    }


def status_of(outcome: str) -> str:
    """The word of other programs for an outcome, or for what happened to a request so far."""
    if outcome in (REQUESTED, LAUNCHED, RETRYING):
        return PENDING if outcome == REQUESTED else _RUNNING
    return _FAILED if outcome == EXPIRED or outcome in UNDECIDED else _COMPLETED


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


def drift_trigger_id(specialist: Specialist, cause: str) -> str:
    """`_id` of the drift sensor's trigger for one cause, which starts one run only."""
    return f"{DRIFT}:{specialist}:{cause}"


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

    Raises:
        MongoRefused: a unique index of the collection's owner refuses the document.
    """
    from pymongo.errors import DuplicateKeyError

    lease: Document = {"$add": ["$$NOW", int(lease_s * 1000)]}
    claimed = {**fields, "trigger_id": trigger_id, "status": PENDING, "outcome": REQUESTED}
    literal = {name: {"$literal": value} for name, value in claimed.items()}
    try:
        triggers.update_one(
            {"_id": trigger_id, "status": {"$exists": False}},
            [{"$set": {**literal, "claimed_until": lease}}],
            upsert=True,
        )
    except DuplicateKeyError as error:
        clash = (error.details or {}).get("keyPattern", {"_id": 1})
        if "_id" not in clash:
            raise MongoRefused(
                f"a unique index of {triggers.full_name} on {', '.join(clash)} refuses the document {trigger_id!r}."
                " Ask the owner of the index to drop it, or to restrict it to documents without the field `kind`"
            ) from None
        return _take_over(triggers, trigger_id, lease)
    return Claim.OURS


def _take_over(triggers: "Collection[Document]", trigger_id: str, lease: Document) -> Claim:
    """Claim a document that exists already, if its claim has expired."""
    taken = triggers.update_one(_expired(trigger_id), [{"$set": {"claimed_until": lease}}])
    if taken.matched_count:
        return Claim.OURS
    waiting = triggers.find_one({"_id": trigger_id, "claimed_until": {"$exists": True}})
    return Claim.THEIRS if waiting else Claim.SETTLED


def _expired(trigger_id: str) -> Document:
    """Finds the document if its claim has expired. Documents whose run was launched have no claim any more."""
    return {
        "_id": trigger_id,
        "claimed_until": {"$exists": True},
        "$expr": {"$lt": ["$claimed_until", "$$NOW"]},
    }


def mark_launched(triggers: "Collection[Document]", trigger_id: str, run_id: str, at: datetime) -> None:
    """Record that the run of a trigger exists since then."""
    launched = {"status": status_of(LAUNCHED), "outcome": LAUNCHED, "run_id": run_id, "launched_at": at}
    triggers.update_one(
        {"_id": trigger_id, "claimed_until": {"$exists": True}}, {"$set": launched, "$unset": {"claimed_until": 1}}
    )


def mark_expired(triggers: "Collection[Document]", trigger_id: str) -> None:
    """Give up a trigger whose run was never launched, once its claim has expired."""
    expired = {"status": status_of(EXPIRED), "outcome": EXPIRED}
    triggers.update_one(_expired(trigger_id), {"$set": expired, "$unset": {"claimed_until": 1}})


def record_outcome(
    triggers: "Collection[Document]", trigger_id: str, origin: Mapping[str, object], result: Mapping[str, object]
) -> None:
    """Record the outcome of a run in its trigger's document, which is new for runs of people and backfills.

    Args:
        triggers: the collection.
        trigger_id: `_id` of the document.
        origin: fields of a new document that say where the run comes from.
        result: outcome, run id, reason and times; a dotted name changes one field of a map.
    """
    set_now = {**result, "status": status_of(str(result["outcome"])), "trigger_id": trigger_id}
    changed = {name.partition(".")[0] for name in set_now}
    fresh = {name: value for name, value in origin.items() if name not in changed}
    triggers.update_one(
        {"_id": trigger_id}, {"$set": set_now, "$setOnInsert": fresh, "$unset": {"claimed_until": 1}}, upsert=True
    )
