"""`nhm exporter` as a process, for the benchmark of its memory."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

_WAIT_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str | Path], environment: Mapping[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A program, until the end of the context."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for_sources(port: int) -> None:
    """Wait until the exporter at this port shows all three sources."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            shown = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
            if _all_up(shown):
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline, "the exporter cannot read a source"
        time.sleep(0.5)


def _all_up(shown: str) -> bool:
    lines = [line for line in shown.splitlines() if line.startswith("nhm_up{")]
    return len(lines) == 3 and all(line.endswith(" 1.0") for line in lines)
