"""Keeps rejected feedback: the document, the reason, the partition and the run."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Final, overload

from nhm_assets.feedback.mongo_batches import batches
from nhm_assets.feedback.rules import Reason, Rejection
from nhm_assets.feedback.trimming import LARGEST, encodable, trimmed
from resources.mongo import tolerant_decoding

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from nhm_assets.domain.partitions import Partition
    from nhm_assets.feedback.reader import Document

LARGEST_TOGETHER: Final = 32 * 1024 * 1024
"""Bytes of rejected documents that one window keeps whole: some thirty thousand usual ones."""

LARGEST_LATER: Final = 512
"""Bytes that are kept of each document after those: enough for its ids."""

_LARGEST_IN_MEMORY: Final = 16 * 1024 * 1024
"""Bytes of entries beyond which they are in a temporary file."""


class Entries(Sequence["Document"]):
    """Rejected documents with their reasons, in the order of their digests.

    Only a digest and a place of each is in memory. The entry itself is encoded, in a temporary file if there are many.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_LARGEST_IN_MEMORY)  # noqa: SIM115 - it is needed as long as the entries
        self._place_of: dict[bytes, int] = {}
        self._order: list[bytes] = []

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and bytes.fromhex(digest) in self._place_of

    def add(self, entry: "Document") -> None:
        """Add an entry with a new digest."""
        from bson import encode

        self._place_of[bytes.fromhex(entry["digest"])] = self._file.seek(0, os.SEEK_END)
        self._file.write(encode(entry))

    def without(self, digests: Set[str]) -> "Entries":
        """Those that have none of these digests, in the same file."""
        left = Entries()
        left._file = self._file
        excluded = set(map(bytes.fromhex, digests))
        left._place_of = {digest: place for digest, place in self._place_of.items() if digest not in excluded}
        return left

    def __len__(self) -> int:
        return len(self._place_of)

    @overload
    def __getitem__(self, position: int) -> "Document": ...
    @overload
    def __getitem__(self, position: slice) -> "list[Document]": ...
    def __getitem__(self, position: int | slice) -> "Document | list[Document]":
        if len(self._order) != len(self._place_of):
            self._order = sorted(self._place_of)
        if isinstance(position, slice):
            return list(map(self._entry, self._order[position]))
        return self._entry(self._order[position])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _entry(self, digest: bytes) -> "Document":
        from bson import decode

        self._file.seek(self._place_of[digest])
        size = self._file.read(4)
        return decode(size + self._file.read(int.from_bytes(size, "little") - 4), tolerant_decoding())


def quarantine_entries(rejections: Sequence[Rejection], documents: Iterable["Document"]) -> Entries:
    """The rejected documents with their reasons. Documents that are equal in all but `_id` count once.

    A document that is too large or too deep is trimmed, and its entry says so. So are all further ones once the kept
    ones are large together: the memory of a run stays the same however many documents are rejected.
    """
    from bson import encode

    known = {_comparable(rejection.document_id): rejection for rejection in rejections}
    entries = Entries()
    left = LARGEST_TOGETHER
    for document in documents:
        digest = content_digest(document)
        rejection = known.get(_comparable(document["_id"]))
        if rejection is None or digest in entries:
            continue
        kept, is_trimmed = trimmed(document, largest=LARGEST if left > 0 else LARGEST_LATER)
        left -= len(encode(kept))
        entries.add(
            {
                "digest": digest,
                "reason": str(rejection.reason),
                "has_time": rejection.has_time,
                "document": kept,
                "trimmed": is_trimmed,
            }
        )
    return entries


def _comparable(document_id: Any) -> Any:
    """What is equal only for the same `_id`. One of the usual type is small as it is."""
    from bson import ObjectId

    return document_id if isinstance(document_id, ObjectId) else repr(document_id)


def reason_counts(entries: "Iterable[Document]") -> dict[str, int]:
    """Number of rejected documents per reason, in the order of the reasons."""
    counts = Counter(entry["reason"] for entry in entries)
    return {str(reason): counts[reason] for reason in Reason if counts[reason]}


def replace_quarantine(
    collection: "Collection[Document]",
    entries: Entries,
    *,
    partition: "Partition",
    run_id: str,
    now: datetime,
) -> Entries:
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
    own = {_id_of(entry, key, specialist): entry["digest"] for entry in entries}
    kept = entries
    if kept_elsewhere := {own[name] for name in elsewhere & own.keys()}:
        kept = entries.without(kept_elsewhere)
    for batch in batches(kept):
        documents = [
            {
                "_id": _id_of(entry, key, specialist),
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
    earlier = {name for one in collection.find({"partition": key}, {"_id": 1}) if (name := one["_id"]) not in own}
    for outdated in batches(sorted(earlier | (elsewhere - own.keys()))):
        collection.delete_many({"_id": {"$in": outdated}})
    return kept


def _id_of(entry: "Document", key: str, specialist: str) -> str:
    return f"{key if entry['has_time'] else specialist}:{entry['digest']}"


def content_digest(document: "Document") -> str:
    """Digest of all fields but `_id`, in whatever order they are."""
    from bson import encode

    content = {key: document[key] for key in sorted(document) if key != "_id"}
    try:
        encoded = encode(content)
    except UnicodeEncodeError:
        encoded = encode(encodable(content))
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()
