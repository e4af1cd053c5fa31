"""The one place that says how the C library and Arrow hold memory."""

import ctypes
from typing import Final

_MMAP_THRESHOLD: Final = (-3, 1024 * 1024)
_ARENA_MAX: Final = (-8, 2)
"""Options of `mallopt`, by their numbers in glibc's `malloc.h`, and their values."""


def give_memory_back() -> None:
    """Return large arrays to the system as soon as they are freed, so that the peak is what is needed at once.

    Once a large array was freed, glibc takes later ones of up to 32 MB from a heap, which shrinks only at its end.
    Arrow keeps freed memory as well.
    """
    import pyarrow as pa

    # The C libraries of Alpine and macOS have no such options.
    if option := getattr(ctypes.CDLL(None), "mallopt", None):
        option(*_MMAP_THRESHOLD)
        option(*_ARENA_MAX)
    pa.set_memory_pool(pa.system_memory_pool())
