"""Reads each source in the background, so that a scrape only shows what was read last.

Every source has a thread of its own: one that hangs delays no other. What a source said is shown only while it is
fresh. If a refresh fails, or takes too long, its series are absent until the next one succeeds.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from nhm_assets.monitoring.metric import Readings, Source

_log = logging.getLogger(__name__)

_MISSED_REFRESHES: Final = 3
"""After this many intervals without a success, what was read before is stale."""
_LONGEST_FAULT: Final = 300


@dataclass(frozen=True)
class State:
    """The last refresh of a source that succeeded, and whether the newest one did.

    Attributes:
        refreshed_at: `time.monotonic()` at the end of the refresh.
        seconds: how long it took.
    """

    readings: Readings
    refreshed_at: float
    seconds: float
    succeeded: bool


class RefreshedSource:
    """One source, and what it last said."""

    def __init__(self, source: Source, read: Callable[[], Readings], *, every_s: float) -> None:
        self.source = source
        self._read = read
        self._every_s = every_s
        self._state: State | None = None
        self._fault: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def as_read_elsewhere(cls, source: Source, state: State | None, *, every_s: float) -> "RefreshedSource":
        """A source that another process has just refreshed, and this one cannot."""

        def read() -> Readings:
            raise ValueError(f"{source} is read in another process")

        known = cls(source, read, every_s=every_s)
        known._state = state and replace(state, refreshed_at=time.monotonic())
        return known

    @property
    def state(self) -> State | None:
        """The last refresh that succeeded; None if none ever did."""
        return self._state

    def refresh(self) -> None:
        """Read the source once. A failure makes its series absent, and is logged when it is new."""
        started = time.monotonic()
        try:
            readings = self._read()
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the other sources must still be shown
            self._note(" ".join(str(error).split())[:_LONGEST_FAULT] or type(error).__name__)
            before = self._state
            if before:
                self._state = State(before.readings, before.refreshed_at, before.seconds, succeeded=False)
            return
        ended = time.monotonic()
        self._note(None)
        self._state = State(readings, ended, ended - started, succeeded=True)

    def _note(self, fault: str | None) -> None:
        if fault and fault != self._fault:
            _log.warning("%s cannot be read, so its metrics are absent: %s", self.source, fault)
        elif self._fault and not fault:
            _log.warning("%s can be read again", self.source)
        self._fault = fault

    @property
    def readings(self) -> Readings | None:
        """What the source last said; None if that is too old, or if the last refresh failed."""
        state = self._state
        if state is None or not state.succeeded:
            return None
        return state.readings if time.monotonic() - state.refreshed_at <= self._stale_after_s else None

    @property
    def _stale_after_s(self) -> float:
        return _MISSED_REFRESHES * self._every_s

    @property
    def age_s(self) -> float | None:
        """Seconds since the last refresh that succeeded; None if none ever did."""
        return time.monotonic() - self._state.refreshed_at if self._state else None

    @property
    def duration_s(self) -> float | None:
        """How long that refresh took."""
        return self._state.seconds if self._state else None

    def start(self) -> None:
        """Refresh again and again, until `stop`."""
        self._thread = threading.Thread(target=self._run, name=f"refresh {self.source}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the refresh that it is in; it is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(self._every_s)
