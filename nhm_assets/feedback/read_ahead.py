"""Reading ahead: MongoDB answers the next queries while this process works on the answers to earlier ones."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final, TypeVar

_STEPS_AHEAD: Final = 3
"""Reads that are waiting or under way at once. Two keep MongoDB busy; the third bridges uneven steps."""

_LAST_READ_TIMEOUT_S: Final = 5

T = TypeVar("T")
Read = Callable[[], Any]
Steps = Generator[Read, Any, None]
"""Work that yields what is to be read, and is sent the answer."""


class ReadAhead:
    """Reads in one thread, in the order of the requests.

    It is one thread because a session of MongoDB may be used by only one at a time, and it is a daemon because a
    process that was told to stop must not wait for a server that does not answer.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[tuple[Future[Any], Read] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="read-ahead", daemon=True)
        self._is_stopped = False
        self._thread.start()

    def read(self, read: Callable[[], T]) -> "Future[T]":
        """The answer, once it is there."""
        future: Future[T] = Future()
        self._requests.put((future, read))
        return future

    def each(self, items: Iterator[T]) -> Iterator[T]:
        """The items, each read while the one before it is worked on."""
        end = object()
        coming = self.read(lambda: next(items, end))
        while (item := coming.result()) is not end:
            coming = self.read(lambda: next(items, end))
            yield item  # type: ignore[misc]

    def run(self, work: Iterable[Steps]) -> None:
        """Do all the work. While one piece waits for an answer, the ones before it go on, always in the same order."""
        waiting: deque[tuple[Steps, Future[Any]]] = deque()

        def resume(steps: Steps, answer: Any) -> None:
            try:
                waiting.append((steps, self.read(steps.send(answer))))
            except StopIteration:
                return

        for steps in work:
            resume(steps, None)
            while len(waiting) >= _STEPS_AHEAD:
                first, answer = waiting.popleft()
                resume(first, answer.result())
        while waiting:
            first, answer = waiting.popleft()
            resume(first, answer.result())

    def stop(self) -> None:
        """Forget what was not yet read, and wait a moment for the read that is under way."""
        self._is_stopped = True
        self._requests.put(None)
        self._thread.join(_LAST_READ_TIMEOUT_S)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None and not self._is_stopped:
            future, read = request
            try:
                future.set_result(read())
            except BaseException as error:  # noqa: BLE001 - it is raised again where the answer is used
                future.set_exception(error)


@contextmanager
def reading_ahead() -> Iterator[ReadAhead]:
    """A thread that reads, until the end of the block."""
    ahead = ReadAhead()
    try:
        yield ahead
    finally:
        ahead.stop()
