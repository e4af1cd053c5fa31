"""The one place that switches Python's garbage collector off and on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the collector while many objects are created: it would scan them all again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def startup_without_gc() -> Iterator[None]:
    """Pause the collector while a command imports its libraries, and exclude what they created from all later scans."""
    with gc_paused():
        yield
        gc.freeze()
