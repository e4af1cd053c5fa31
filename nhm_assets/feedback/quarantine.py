"""Keeps rejected feedback: the document, the reason, the partition and the run."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.feedback.rules import Reason, Rejection

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from nhm_assets.feedback.reader import Document

QUARANTINE: Final = "feedback_quarantine"


def quarantine_entries(rejections: Sequence[Rejection], documents: Iterable["Document"]) -> "list[Document]":
    """The rejected documents with their reasons. Documents that are equal in all but `_id` count once."""
    reasons = {_key(rejection.document_id): rejection.reason for rejection in rejections}
    entries: dict[str, Document] = {}
    for document in documents:
        entries.setdefault(_digest(document), {"reason": reasons[_key(document["_id"])], "document": document})
    return [{"digest": digest, **entry} for digest, entry in sorted(entries.items())]


def reason_counts(entries: "Sequence[Document]") -> dict[str, int]:
    """Number of rejected documents per reason, in the order of the reasons."""
    counts = Counter(entry["reason"] for entry in entries)
    return {str(reason): counts[reason] for reason in Reason if counts[reason]}


def replace_quarantine(
    collection: "Collection[Document]", entries: "Sequence[Document]", *, partition: str, run_id: str, now: datetime
) -> None:
    """Replace the partition's quarantine with these entries.

    The `_id` of an entry is derived from partition and content, so that the run after a killed one overwrites its
    entries instead of adding them again.
    """
    from pymongo import ReplaceOne

    collection.create_index("partition")
    documents = [
        {
            "_id": f"{partition}:{entry['digest']}",
            "partition": partition,
            "reason": str(entry["reason"]),
            "document": entry["document"],
            "dagster_run_id": run_id,
            "quarantined_at": now,
        }
        for entry in entries
    ]
    if documents:
        collection.bulk_write([ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents])
    collection.delete_many({"partition": partition, "_id": {"$nin": [document["_id"] for document in documents]}})


def _digest(document: "Document") -> str:
    from bson import encode

    content: dict[str, Any] = {key: document[key] for key in sorted(document) if key != "_id"}
    return hashlib.blake2b(encode(content), digest_size=16).hexdigest()


def _key(document_id: Any) -> bytes:
    from bson import encode

    return encode({"_id": document_id})
