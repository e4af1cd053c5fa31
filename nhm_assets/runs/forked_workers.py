"""Processes that are forked from this one, so that they need not import its libraries again.

Each does one task after another. If one dies, its task is lost, and the others do the tasks that are left.
"""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Final, Generic, TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")
Tell = Callable[[str], None]
Work = Callable[[T, Tell], R]

SUPPORTED: Final = sys.platform == "linux"
"""Elsewhere libraries do not survive a fork, and the kernel does not end a process whose parent has died."""

_INTERRUPTIONS: Final = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG: Final = 1
_ATTEMPTS: Final = 3
_PATIENCE_S: Final = 15.0
"""How often, and how long each time, a process is asked to end before it is killed. A run records its end meanwhile."""


@dataclass(frozen=True)
class Lost:
    """A task whose process died.

    Attributes:
        pid: of the process.
        signal: number of the signal that ended it; None if it ended by itself.
    """

    pid: int
    signal: int | None


@dataclass(frozen=True)
class _Told:
    text: str


@dataclass(frozen=True)
class _Done:
    result: Any


@dataclass(frozen=True)
class _Worker:
    process: ForkProcess
    connection: Connection

    def lost(self) -> Lost:
        """What happened to its task, after its end of the connection was closed."""
        self.process.join()
        code = self.process.exitcode or 0
        return Lost(self.process.pid or 0, -code if code < 0 else None)


class Workers(Generic[T, R]):
    """Processes that wait for tasks; see `forked_workers`."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._idle = list(workers)

    def begin(self, task: T) -> Callable[[], R | Lost]:
        """Begin one task, while the caller does something else.

        Returns:
            A function, to be called once, that waits for its result, or raises what the work raised.

        Raises:
            IndexError: no process is idle.
        """
        worker = self._idle.pop(0)
        with suppress(OSError):
            worker.connection.send(task)

        def result() -> R | Lost:
            while isinstance(message := _received(worker.connection), _Told):
                pass
            if message is None:
                return worker.lost()
            self._idle.append(worker)
            if isinstance(message, Exception):
                raise message
            return cast("R", message.result)

        return result

    def results(
        self, tasks: Sequence[T], *, started: Callable[[T], None], told: Callable[[T, str], None]
    ) -> Iterator[tuple[T, R | Lost]]:
        """Do all tasks. Yields each with its result, as they end.

        After an error, or if no process is left, no further task is begun; those that are done already are yielded.

        Args:
            tasks: begun in this order.
            started: called with each task as it begins.
            told: called with a task and what its process says about it.

        Raises:
            Exception: what the work of a task raised.
        """
        left, busy = list(tasks), dict[Connection, tuple[_Worker, T]]()
        failure: Exception | None = None
        while True:
            while left and self._idle and not failure:
                worker, task = self._idle.pop(0), left.pop(0)
                busy[worker.connection] = worker, task
                started(task)
                # A process that has died is noticed below.
                with suppress(OSError):
                    worker.connection.send(task)
            if not busy:
                break
            for connection in cast("list[Connection]", wait(list(busy))):
                worker, task = busy[connection]
                message = _received(connection)
                if isinstance(message, _Told):
                    told(task, message.text)
                    continue
                del busy[connection]
                if message is None:
                    yield task, worker.lost()
                    continue
                self._idle.append(worker)
                if isinstance(message, Exception):
                    failure = failure or message
                else:
                    yield task, message.result
        if failure:
            raise failure


@contextmanager
def forked_workers(
    count: int, opened: Callable[[], AbstractContextManager[Work[T, R]]], *, patience_s: float | None = None
) -> Iterator[Workers[T, R]]:
    """Fork processes that do tasks, and wait for their ends.

    This process may import libraries before, but not use them for more: threads, connections and locks do not
    survive a fork. If the body raises, for example because of Ctrl-C, the processes get SIGTERM, which interrupts
    their tasks; one that does not end is killed in the end. They get SIGTERM too if this process is killed.

    Args:
        count: of processes.
        opened: opens, in a process, what does the tasks. This begins at once, and its error is that of each task.
        patience_s: how long, each time, a process that is to end is waited for; None: as long as a run may take to
            record its end.
    """
    context = multiprocessing.get_context("fork")
    workers: list[_Worker] = []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            inherited = [ours, *(worker.connection for worker in workers)]
            process = context.Process(target=_serve, args=(theirs, inherited, opened, os.getpid()))
            # Until it can handle them, an interruption would only be a traceback on the screen.
            with _interruptions_wait():
                process.start()
            theirs.close()
            workers.append(_Worker(process, ours))
        yield Workers(workers)
    except BaseException:
        for worker in workers:
            # Nobody reads what they say from here on.
            worker.connection.close()
        _interrupt([worker.process for worker in workers], _PATIENCE_S if patience_s is None else patience_s)
        raise
    finally:
        for worker in workers:
            worker.connection.close()
        for worker in workers:
            worker.process.join()


@contextmanager
def _interruptions_wait() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interrupt(processes: Sequence[ForkProcess], patience_s: float) -> None:
    """End them by SIGTERM, and by SIGKILL those that go on: Python drops an exception that a destructor raises.

    Whoever interrupts this, too, does not want to wait: they are killed at once.
    """
    try:
        for _ in range(_ATTEMPTS):
            for process in processes:
                process.terminate()
            deadline = time.monotonic() + patience_s
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


def _serve(
    connection: Connection,
    inherited: Sequence[Connection],
    opened: Callable[[], AbstractContextManager[Work[T, R]]],
    parent: int,
) -> None:
    """What a process does."""
    # The terminal sends Ctrl-C to its group of processes. The parent passes it on, once.
    os.setpgid(0, 0)
    for number in _INTERRUPTIONS:
        signal.signal(number, signal.default_int_handler)
    _end_with(parent)
    for other in inherited:
        other.close()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTIONS)
        _do_tasks(connection, opened, parent)
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    except BaseException:  # noqa: BLE001 - an interruption; libraries have names of their own for it
        signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
        raise SystemExit(1) from None


def _do_tasks(connection: Connection, opened: Callable[[], AbstractContextManager[Work[T, R]]], parent: int) -> None:
    """Do the tasks that come, until the connection is closed."""

    def tell(text: str) -> None:
        if os.getppid() != parent:
            # The signal that came when the parent died was dropped.
            raise KeyboardInterrupt
        _send(connection, _Told(text))

    with ExitStack() as stack:
        work: Work[T, R] | Exception
        try:
            work = stack.enter_context(opened())
        except Exception as error:  # noqa: BLE001 - the parent raises it, when it waits for a result
            work = error
        while (task := _received(connection)) is not None:
            try:
                if isinstance(work, Exception):
                    raise work
                answer: object = _Done(work(task, tell))
            except Exception as error:  # noqa: BLE001 - the parent raises it
                answer = _portable(error)
            _send(connection, answer)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; in another form if it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was made one step before
    except Exception:  # noqa: BLE001 - whatever its own methods raise
        sent: Exception = RuntimeError(f"{type(error).__name__}: {error}")
    else:
        sent = error
    sent.add_note("".join(traceback.format_exception(error)))
    return sent


def _end_with(parent: int) -> None:
    """Ask the kernel to send this process SIGTERM when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)


def _received(connection: Connection) -> Any:
    """The next message; None if the other side is gone, or has closed the connection."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _send(connection: Connection, message: object) -> None:
    # Nobody may be there any more to whom it matters.
    with suppress(OSError):
        connection.send(message)
