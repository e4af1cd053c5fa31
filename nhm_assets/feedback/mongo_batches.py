"""Shared by all readers of MongoDB: the indexes they rely on, and reading by ids in batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

T = TypeVar("T")

BATCH: Final = 1000
"""Documents that are written, or read and decoded, at a time. Those of a dataset are read as `BatchSize` says."""

_LARGEST_QUERY: Final = 4 * 1024 * 1024
"""Bytes of ids per query. MongoDB refuses commands above 16 MiB, and nothing limits the length of an id."""

READ_INDEXES: Final = {
    "feedback_collection": (("specialist_type", 1), ("submitted_at", 1)),
    "opinions_collection": (("opinion_id", 1), ("specialist_type", 1)),
    "plans_collection": (("plan_id", 1),),
}
"""Indexes that the queries need on collections of other systems: the collection's setting -> the index's keys."""


def batches(items: Iterable[T], most: int = BATCH) -> Iterator[list[T]]:
    """The items in lists of at most that many."""
    rest = iter(items)
    while batch := list(islice(rest, most)):
        yield batch


def id_batches(ids: Iterable[Any], most: int = BATCH) -> Iterator[list[Any]]:
    """The ids in lists that fit into a query: at most that many, and fewer where they are long."""
    from bson import encode

    for batch in batches(ids, most):
        if _are_short_texts(batch):
            yield batch
            continue
        part: list[Any] = []
        size = 0
        for one in batch:
            size += len(encode({"": one}))
            if part and size > _LARGEST_QUERY:
                yield part
                part, size = [], len(encode({"": one}))
            part.append(one)
        yield part


def _are_short_texts(ids: list[Any]) -> bool:
    """Whether the ids surely fit into a query. Nearly all do, and to encode each would take longer than to ask."""
    return all(type(one) is str for one in ids) and sum(map(len, ids)) * 4 + len(ids) * 16 <= _LARGEST_QUERY
