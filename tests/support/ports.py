"""Free ports for servers of tests."""

import itertools
import os
import random
import socket
from collections.abc import Iterator

_PORTS = range(10_000, 20_000)
_PROCESSES = 8


def free_port() -> int:
    """A port of this machine that nobody listens on. No other call returns it, in any test process.

    The kernel's own choice can be the same twice, as long as nobody listens on it. Its range begins above ours.
    """
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _ports_of_this_process() -> Iterator[int]:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    size = len(_PORTS) // _PROCESSES
    ports = _PORTS[number * size : (number + 1) * size]
    start = random.randrange(size)
    return itertools.cycle([*ports[start:], *ports[:start]])


_ports = _ports_of_this_process()
