"""How many opinions are joined at a time."""

from typing import Final

MOST: Final = 4000
_FEWEST: Final = 10
_FIRST: Final = 200
_BYTES: Final = 12 * 1024 * 1024


class BatchSize:
    """As many opinions as come with a few megabytes of documents, so that the size of plans decides nothing else.

    Large batches take less time, but a few of them are in memory at once. The size of a batch does not change what
    results from it.

    Attributes:
        opinions: how many come next.
    """

    def __init__(self) -> None:
        self.opinions = _FIRST

    def saw(self, opinions: int, received: int) -> None:
        """Learn how large the documents of a batch were, in bytes."""
        self.opinions = min(MOST, max(_FEWEST, opinions * _BYTES // max(1, received)))
