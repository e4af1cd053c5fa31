"""Stored plan features in MongoDB: those of the specialists are used, ours are added for other readers.

Ours are never read back. They lack the embedding features, so a dataset that used them would depend on which
specialist was trained first.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nhm_assets.domain.stored_values import stored_values
from nhm_assets.feedback.features import EXTRACTOR, LARGEST_FEATURE

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from nhm_assets.feedback.reader import Document

_log = logging.getLogger(__name__)
_DUPLICATE_KEY = 11000
_INDEX_CONFLICT = (85, 86)


def parse_stored(document: Mapping[str, Any] | None) -> tuple[float, ...] | None:
    """The 26 numbers of a stored features document, in column order.

    None if the document is missing, unreadable or incomplete, or if a value is not a number.
    """
    return parse_values(stored_values((document or {}).get("features")))


def parse_values(values: tuple[Any, ...] | None) -> tuple[float, ...] | None:
    """The same 26 values as numbers; None if there are none, or one is no number."""
    if values is None:
        return None
    # Fast path: nearly always all are floats, and then their length as a vector shows that none is NaN, infinite or
    # too large.
    if set(map(type, values)) == {float} and math.hypot(*values) <= LARGEST_FEATURE:
        return values
    return tuple(map(float, values)) if all(map(_is_number, values)) else None


def _is_number(value: object) -> bool:
    # NaN and the infinities fail the comparison as well.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_FEATURE


def needs_ours(document: Mapping[str, Any] | None) -> bool:
    """Whether to write our features of a plan: it has none, or ours of another version."""
    if document is None:
        return True
    extractor = document.get("extractor")
    return isinstance(extractor, Mapping) and extractor != EXTRACTOR


def ensure_index(collection: "Collection[Document]") -> None:
    """Make sure that no plan has more than one features document.

    Raises:
        DataError: a plan already has several, or an index of another kind is in the way.
    """
    from pymongo.errors import OperationFailure

    from nhm_assets.domain.errors import DataError

    try:
        collection.create_index("plan_id", unique=True)
    except OperationFailure as error:
        if error.code == _DUPLICATE_KEY:
            plan_id = (error.details or {}).get("keyValue", {}).get("plan_id")
            raise DataError(
                f"collection {collection.name} has more than one document for plan {plan_id!r}, but plan_id must be"
                " unique there. Remove all but one document of each plan"
            ) from error
        if error.code not in _INDEX_CONFLICT:
            raise
        if not _is_unique(collection):
            raise DataError(
                f"collection {collection.name} has an index on plan_id that is not unique, so a plan could have several"
                " documents. Remove all but one of each plan, then drop that index: the next run creates a unique one"
            ) from error


def _is_unique(collection: "Collection[Document]") -> bool:
    indexes = collection.index_information().values()
    return any(index["key"] == [("plan_id", 1)] and index.get("unique") for index in indexes)


def can_write_back(collection: "Collection[Document]", warn: Callable[[str], None]) -> bool:
    """Whether the collection takes our features. If not, it warns: the dataset does not need them there.

    Raises:
        DataError: as `ensure_index`.
    """
    from pymongo.errors import OperationFailure

    try:
        ensure_index(collection)
    except OperationFailure as error:
        _warn_of_refusal(warn, collection, "a unique index on plan_id", str(error))
        return False
    return True


def write_back(
    collection: "Collection[Document]",
    computed: Mapping[str, Mapping[str, float]],
    now: datetime,
    warn: Callable[[str], None] = _log.warning,
) -> int:
    """Store our features of these plans, and return how many were written.

    A document that is not ours is never replaced, not even one that a specialist writes at the same time. What
    MongoDB refuses, by a validator of the collection's owner for example, is warned of: nothing here depends on it.
    """
    from nhm_assets.feedback.mongo_batches import batches

    written, refusals = 0, []
    for batch in batches(computed.items()):
        inserted, refused = _write_batch(collection, batch, now)
        written += inserted
        refusals += refused
    if refusals:
        _warn_of_refusal(warn, collection, f"our features of {len(refusals)} plans", refusals[0])
    return written


def _warn_of_refusal(warn: Callable[[str], None], collection: "Collection[Document]", what: str, reason: str) -> None:
    warn(
        f"MongoDB refused {what} in the collection {collection.name}: {reason.split(', full error:')[0][:300]}. The"
        " dataset does not depend on it. Ask the owner of the collection if other readers need our features"
    )


def _write_batch(
    collection: "Collection[Document]", batch: Iterable[tuple[str, Mapping[str, float]]], now: datetime
) -> tuple[int, list[str]]:
    """Number of documents written, and a reason for each that was refused."""
    from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

    documents = [
        {
            "plan_id": plan_id,
            "features": {"aggregated_features": dict(features)},
            "timestamp": now.timestamp(),
            "extractor": EXTRACTOR,
        }
        for plan_id, features in batch
    ]
    plan_ids = [document["plan_id"] for document in documents]
    outdated = {"plan_id": {"$in": plan_ids}, "extractor.name": EXTRACTOR["name"]}
    try:
        collection.delete_many({**outdated, "extractor.version": {"$ne": EXTRACTOR["version"]}})
        return len(collection.insert_many(documents, ordered=False).inserted_ids), []
    except BulkWriteError as error:
        # A specialist stored features of some of these plans first. Those stay.
        faults = error.details["writeErrors"]
        refused = [fault["errmsg"] for fault in faults if fault["code"] != _DUPLICATE_KEY]
        return int(error.details["nInserted"]), refused
    except (OperationFailure, DocumentTooLarge) as error:
        return 0, [str(error)] * len(documents)
