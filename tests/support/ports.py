"""Ports for servers of tests."""

import itertools
import os
import random
import socket
from collections.abc import Iterator


def free_port() -> int:
    """A port of this machine that nobody listens on, and that no other call gives, in whatever test process.

    The system's own choice may be the same twice, before anybody listens there; it begins above these.
    """
    while True:
        port = next(_ports)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


_PORTS = range(10_000, 20_000)
_PROCESSES = 8


def _ports_of_this_process() -> Iterator[int]:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    size = len(_PORTS) // _PROCESSES
    mine = _PORTS[number * size : (number + 1) * size]
    start = random.randrange(size)
    return itertools.cycle([*mine[start:], *mine[:start]])


_ports = _ports_of_this_process()
