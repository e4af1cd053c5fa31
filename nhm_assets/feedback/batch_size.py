"""How many opinions are joined at a time."""

from typing import Final

MOST: Final = 2000
_FEWEST: Final = 10
_FIRST: Final = 200
_BYTES: Final = 12 * 1024 * 1024


class BatchSize:
    """Large batches take less time, but up to three of them are in memory at once. So their bytes are limited.

    How large documents are is learned from each batch that is done, and three more have been asked for by then. The
    size of batches does not change what results from them.

    Attributes:
        opinions: how many come next.
    """

    def __init__(self) -> None:
        self.opinions = _FIRST

    def saw(self, opinions: int, received: int) -> None:
        """Learn how large the documents of a batch were, in bytes."""
        self.opinions = min(MOST, max(_FEWEST, opinions * _BYTES // max(1, received)))
