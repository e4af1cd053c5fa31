"""Keeps rejected feedback: the document, the reason, the partition and the run."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.rules import Reason, Rejection
from nhm_assets.feedback.trimming import LARGEST, encodable, trimmed

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from nhm_assets.domain.partitions import Partition
    from nhm_assets.feedback.reader import Document

LARGEST_TOGETHER: Final = 32 * 1024 * 1024
"""Bytes of rejected documents that one window keeps whole: some thirty thousand usual ones."""

LARGEST_LATER: Final = 512
"""Bytes that are kept of each document after those: enough for its ids."""


def quarantine_entries(rejections: Sequence[Rejection], documents: Iterable["Document"]) -> "list[Document]":
    """The rejected documents with their reasons. Documents that are equal in all but `_id` count once.

    A document that is too large or too deep is trimmed, and its entry says so. So are all further ones once the kept
    ones are large together: the memory of a run stays the same however many documents are rejected.
    """
    from bson import encode

    known = {repr(rejection.document_id): rejection for rejection in rejections}
    entries: dict[str, Document] = {}
    left = LARGEST_TOGETHER
    for document in documents:
        digest = content_digest(document)
        if digest in entries or repr(document["_id"]) not in known:
            continue
        rejection = known[repr(document["_id"])]
        kept, is_trimmed = trimmed(document, largest=LARGEST if left > 0 else LARGEST_LATER)
        left -= len(encode(kept))
        entries[digest] = {
            "digest": digest,
            "reason": rejection.reason,
            "has_time": rejection.has_time,
            "document": kept,
            "trimmed": is_trimmed,
        }
    return [entry for _, entry in sorted(entries.items())]


def reason_counts(entries: "Iterable[Document]") -> dict[str, int]:
    """Number of rejected documents per reason, in the order of the reasons."""
    counts = Counter(entry["reason"] for entry in entries)
    return {str(reason): counts[reason] for reason in Reason if counts[reason]}


def replace_quarantine(
    collection: "Collection[Document]",
    entries: "Sequence[Document]",
    *,
    partition: "Partition",
    run_id: str,
    now: datetime,
) -> "list[Document]":
    """Replace the partition's quarantine with these entries, and return those that the partition keeps.

    The `_id` of an entry is derived from its content, so that the run after a killed one overwrites its entries
    instead of adding them again. A document without a usable time is found by every partition of the specialist; only
    the first one keeps it.
    """
    from pymongo import ReplaceOne

    collection.create_index("partition")
    key, specialist = str(partition.key), str(partition.specialist)
    elsewhere = {
        entry["_id"]
        for entry in collection.find({"_id": {"$gte": f"{specialist}:", "$lt": f"{specialist};"}}, {"partition": 1})
        if entry["partition"] != key
    }
    ids = {entry["digest"]: f"{key if entry['has_time'] else specialist}:{entry['digest']}" for entry in entries}
    kept = [entry for entry in entries if ids[entry["digest"]] not in elsewhere]
    for batch in batches(kept):
        documents = [
            {
                "_id": ids[entry["digest"]],
                "partition": key,
                "reason": str(entry["reason"]),
                "document": entry["document"],
                "trimmed": entry["trimmed"],
                "dagster_run_id": run_id,
                "quarantined_at": now,
            }
            for entry in batch
        ]
        collection.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents], ordered=False)
    earlier = {entry["_id"] for entry in collection.find({"partition": key}, {"_id": 1})} | elsewhere
    for outdated in batches(sorted(earlier - set(ids.values()))):
        collection.delete_many({"_id": {"$in": outdated}})
    return kept


def content_digest(document: "Document") -> str:
    """Digest of all fields but `_id`, in whatever order they are."""
    from bson import encode

    content = {key: document[key] for key in sorted(document) if key != "_id"}
    try:
        encoded = encode(content)
    except UnicodeEncodeError:
        encoded = encode(encodable(content))
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()
