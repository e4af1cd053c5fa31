"""A door in front of a server: shut, nobody gets through, as if the server were away."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Door:
    """Passes connections on to a port of this machine while it is open; `port` is its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._through: list[socket.socket] = []
        self._opens_at: float | None = 0.0
        self._opens_after: float | None = None
        self.knocks = 0
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._attend, daemon=True).start()

    def shut(self, *, for_s: float | None = None) -> None:
        """Cut who is through and let nobody in: for some seconds from the first knock on, or until `open`."""
        self._opens_at, self._opens_after, self.knocks = None, for_s, 0
        for one in self._through:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._through.clear()

    def open(self) -> None:
        self._opens_at = 0.0

    def close(self) -> None:
        """Remove it."""
        self.shut()
        self._listener.close()

    def _attend(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._listener.accept()
                self.knocks += 1
                if self._opens_at is None and self._opens_after is not None:
                    self._opens_at = time.monotonic() + self._opens_after
                if self._opens_at is None or time.monotonic() < self._opens_at:
                    visitor.close()
                else:
                    self._let_through(visitor)

    def _let_through(self, visitor: socket.socket) -> None:
        inside = socket.create_connection(("127.0.0.1", self._target))
        self._through += [visitor, inside]
        for source, sink in ((visitor, inside), (inside, visitor)):
            threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def door_to(port: int) -> Iterator[Door]:
    """An open door, gone at the end."""
    door = Door(port)
    try:
        yield door
    finally:
        door.close()
