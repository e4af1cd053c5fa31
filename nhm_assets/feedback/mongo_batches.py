"""Shared by all readers of MongoDB: the indexes they rely on, and reading by ids in batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")

BATCH: Final = 1000
"""Ids per query: there are few round trips, and a batch of plans takes a few megabytes."""

READ_INDEXES: Final = {
    "feedback_collection": (("specialist_type", 1), ("submitted_at", 1)),
    "opinions_collection": (("opinion_id", 1), ("specialist_type", 1)),
    "plans_collection": (("plan_id", 1),),
}
"""Indexes that the queries need on collections of other systems: the collection's setting -> the index's keys."""


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in lists of at most `BATCH`."""
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
