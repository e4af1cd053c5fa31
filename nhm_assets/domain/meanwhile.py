"""Enters a context manager in a thread, while the caller does something else."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def entered_meanwhile(manager: AbstractContextManager[T]) -> Iterator[Callable[[], T]]:
    """Begin to enter a context manager, and leave it at the end.

    Yields:
        A function that waits until it is entered, and returns its value or raises its error.
    """
    # Innermost, the pool waits for the thread: nothing is left that is still being entered.
    with ExitStack() as stack, ThreadPoolExecutor(1, thread_name_prefix="entering") as pool:
        yield pool.submit(stack.enter_context, manager).result
