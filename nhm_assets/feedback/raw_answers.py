"""Answers of MongoDB to small questions, as bytes, without an object for each document.

`find_raw_batches` of PyMongo returns bytes, too, but makes an object of every document on the way, which is most of
its CPU time. The reply to a plain command stays in one piece.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from nhm_assets.feedback.bson_columns import SIZE

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

_BATCH_STARTS: Final = b"\x04firstBatch\0"


def find_raw(
    collection: "Collection[dict[str, Any]]",
    query: Mapping[str, Any],
    shown: Mapping[str, Any],
    session: "ClientSession | None",
    *,
    most: int,
) -> list[bytes]:
    """What `find` returns: documents as MongoDB sends them, one after the other, in any number of parts.

    Args:
        collection: the documents.
        query: which of them.
        shown: the projection.
        session: to read in.
        most: how many are expected. More of them, or more than one reply can hold, are sent twice.
    """
    # A batch that is not full ends the server's cursor. A cursor that stays open ends with the session, or by time.
    command = {"find": collection.name, "filter": query, "projection": shown, "batchSize": most + 1}
    documents = _first_batch(collection, command, session)
    if documents is not None:
        return [documents]
    found = collection.find_raw_batches(query, shown, session=session, batch_size=most)
    # It yields bytes, whatever its type says.
    return list(cast("Iterable[bytes]", found))


def _first_batch(
    collection: "Collection[dict[str, Any]]", command: dict[str, Any], session: "ClientSession | None"
) -> bytes | None:
    """The documents; None if one reply does not hold them, or the connection broke, which a cursor survives."""
    from pymongo.errors import AutoReconnect

    if concern := collection.read_concern.document:
        command["readConcern"] = concern
    try:
        reply: RawBSONDocument = collection.database.command(
            command, read_preference=collection.read_preference, session=session, codec_options=_undecoded()
        )
    except AutoReconnect:
        return None
    return documents_in(bytes(reply["cursor"].raw))


def documents_in(cursor: bytes) -> bytes | None:
    """The documents of a reply's cursor, one after the other; None if they are not all that there are.

    The field `cursor` has the documents as an array, `firstBatch`, and after it `id`, which is 0 at the end.
    """
    from bson import decode

    start = SIZE.size + len(_BATCH_STARTS)
    if cursor[SIZE.size : start] != _BATCH_STARTS:
        return None
    end = start + SIZE.unpack_from(cursor, start)[0]
    rest = cursor[end:]
    if decode(SIZE.pack(SIZE.size + len(rest)) + rest)["id"]:
        return None
    return b"".join(_items(cursor, start + SIZE.size, end - 1))


def _items(array: bytes, at: int, end: int) -> Iterable[bytes]:
    """The maps in this part of an array: each has a type, the text of its number, and a zero before it."""
    while at < end:
        start = array.index(0, at) + 1
        at = start + SIZE.unpack_from(array, start)[0]
        yield array[start:at]


@cache
def _undecoded() -> "CodecOptions[RawBSONDocument]":
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    return CodecOptions(document_class=RawBSONDocument)
