"""A proxy in front of a server. While it is shut, nobody gets through, as if the server were down."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes connections on to a port of this machine while it is open; `port` is the proxy's own.

    `knocks` counts the connections since the proxy was last shut.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._passing = threading.Lock()
        self._opens_at: float | None = 0.0
        self._opens_after: float | None = None
        self.knocks = 0
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def shut(self, *, for_s: float | None = None) -> None:
        """Cut all connections and accept no new ones: until `open`, or for some seconds after the first new attempt."""
        with self._passing:
            self._opens_at, self._opens_after, self.knocks = None, for_s, 0
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()

    def open(self) -> None:
        """Let connections through again."""
        self._opens_at = 0.0

    def close(self) -> None:
        """Cut all connections and stop listening."""
        self.shut()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._passing:
                    self.knocks += 1
                    if self._opens_at is None and self._opens_after is not None:
                        self._opens_at = time.monotonic() + self._opens_after
                    if self._opens_at is None or time.monotonic() < self._opens_at:
                        client.close()
                    else:
                        self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        self._connections += [client, server]
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    for connection in (source, sink):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """An open proxy; it is closed at the end."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
