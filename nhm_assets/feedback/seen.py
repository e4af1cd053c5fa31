"""What a look at the collections shows: how much is there, the newest feedback, and the indexes that are missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.source_fields import FEATURES, FEEDBACK, OPINIONS, PLANS
from nhm_assets.domain.times import parse_time
from nhm_assets.feedback.mongo_batches import READ_INDEXES
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]

SETTING_OF: Final = {
    FEEDBACK: "feedback_collection",
    OPINIONS: "opinions_collection",
    PLANS: "plans_collection",
    FEATURES: "features_collection",
}
"""Asset -> the setting that names its collection."""

_MOST: Final = 50
"""Each specialist takes two queries, and there may be 500 of them."""
_PATIENCE_MS: Final = 1000
"""Nothing depends on what is seen here, so no query takes long."""


@dataclass(frozen=True)
class Seen:
    """One collection.

    Attributes:
        asset: name of its asset.
        collection: its name in MongoDB.
        documents: how many there are, by MongoDB's own count; None if it does not say.
        missing_indexes: shell commands that create what is missing.
        newest: specialist -> time of the newest feedback; only of the feedback collection.
    """

    asset: str
    collection: str
    documents: int | None
    missing_indexes: list[str]
    newest: dict[str, datetime] = field(default_factory=dict)


def look_at(database: "Database[Document]", settings: Settings, specialists: Sequence[str], *, own: str) -> list[Seen]:
    """All four collections. What MongoDB refuses to say is left out.

    Args:
        database: that holds them.
        settings: with their names.
        specialists: whose newest feedback is looked up, if they are not too many.
        own: the one that is retrained; its newest feedback is looked up in any case.
    """
    whose = specialists if len(specialists) <= _MOST else [own]
    seen = []
    for asset, setting in SETTING_OF.items():
        collection = database[getattr(settings, setting)]
        missing = _missing(database, settings, [setting]) if setting in READ_INDEXES else []
        # Without its index, the newest feedback takes a look at all of it.
        ask = whose if asset == FEEDBACK and not missing else ()
        newest = {one: moment for one in ask if (moment := _newest(collection, one))}
        seen.append(Seen(asset, collection.name, _count(collection), missing, newest))
    return seen


def _missing(database: "Database[Document]", settings: Settings, only: Iterable[str]) -> list[str]:
    from pymongo.errors import OperationFailure

    try:
        return missing_indexes(database, settings, only=only)
    except OperationFailure:
        return []


def missing_indexes(
    database: "Database[Document]", settings: Settings, *, only: Iterable[str] = tuple(READ_INDEXES)
) -> list[str]:
    """The MongoDB shell commands that create the missing indexes of the collections that we only read.

    Args:
        database: that holds them.
        settings: with their names.
        only: the settings that name the collections to look at.
    """
    commands = []
    kinds = {one["name"]: one for one in database.list_collections()}
    for setting in only:
        keys, name = READ_INDEXES[setting], getattr(settings, setting)
        # A view has no indexes: its queries use those of the collection behind it.
        while kinds.get(name, {}).get("type") == "view":
            name = kinds[name]["options"]["viewOn"]
        existing = [list(index["key"].items()) for index in database[name].list_indexes()]
        if not any(index[: len(keys)] == list(keys) for index in existing):
            fields = ", ".join(f"{field}: {direction}" for field, direction in keys)
            commands.append(f"db.getCollection({name!r}).createIndex({{{fields}}})")
    return commands


def _count(collection: "Collection[Document]") -> int | None:
    from pymongo.errors import OperationFailure

    try:
        return int(collection.estimated_document_count(maxTimeMS=_PATIENCE_MS))
    except OperationFailure:
        return None


def _newest(collection: "Collection[Document]", specialist: str) -> datetime | None:
    return max(_first_times(collection, specialist, direction=-1), default=None)


def oldest_feedback(database: "Database[Document]", settings: Settings, specialists: Iterable[str]) -> datetime | None:
    """The time of the oldest feedback on any of these specialists; None if there is none, or MongoDB does not say."""
    collection = database[settings.feedback_collection]
    times = (_first_times(collection, specialist, direction=1) for specialist in specialists)
    return min((moment for found in times for moment in found), default=None)


def _first_times(collection: "Collection[Document]", specialist: str, *, direction: int) -> list[datetime]:
    """The first time in this direction among dates, and the first among strings: MongoDB sorts them apart."""
    from pymongo.errors import OperationFailure

    times: list[datetime | None] = []
    for kind in ("date", "string"):
        query = {"specialist_type": specialist, "submitted_at": {"$type": kind}}
        found = collection.find(query, {"_id": 0, "submitted_at": 1}).sort("submitted_at", direction).limit(1)
        try:
            times += [parse_time(one.get("submitted_at")) for one in found.max_time_ms(_PATIENCE_MS)]
        except OperationFailure:
            continue
    return [moment for moment in times if moment is not None]
