"""Other specialists than the five, for the length of a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from nhm_assets.domain.specialists import FIVE, Specialist, configure


@contextmanager
def configured(*specialists: Specialist) -> Iterator[None]:
    """These are the specialists of this process."""
    configure(specialists)
    try:
        yield
    finally:
        configure(FIVE)
