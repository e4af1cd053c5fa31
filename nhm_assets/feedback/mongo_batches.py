"""What every reader of the documents in MongoDB shares: the indexes it counts on, and reading by ids in batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")

BATCH: Final = 1000
"""Ids a query asks for at once: round trips become rare, and a batch of plans stays a few megabytes."""

READ_INDEXES: Final = {
    "feedback_collection": (("specialist_type", 1), ("submitted_at", 1)),
    "opinions_collection": (("opinion_id", 1), ("specialist_type", 1)),
    "plans_collection": (("plan_id", 1),),
}
"""Indexes that the queries need on collections that other systems own, by the setting that names them."""


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in lists of at most `BATCH`."""
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch
