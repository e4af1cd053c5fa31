"""Texts without a Python object for each: a tenth of their memory, and nothing between them that is freed later.

Python gives memory back only where everything near it is freed. Ids that were read between the parts of a million
documents would keep the memory of all of these.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def packed(texts: Iterable[str | None]) -> "pa.LargeStringArray":
    """The texts, all of which are UTF-8; null for None."""
    import pyarrow as pa

    # Nothing limits the length of an id, and the smaller type holds 2 GB in all.
    return pa.array(texts, pa.large_string())


def unpacked(texts: "pa.LargeStringArray") -> "np.ndarray":
    """The texts as Python objects."""
    objects: np.ndarray = texts.to_numpy(zero_copy_only=False)
    return objects
