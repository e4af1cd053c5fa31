"""Processes and ports of this machine: start some, look at some, wait for some."""

import socket
import socketserver
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psutil

ROOT = Path(__file__).parents[2]
"""The project's folder: what a Python process started here can import."""


def eventually(condition: Callable[[], bool], *, within_s: float = 20) -> bool:
    """Whether the condition becomes true in that time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def processes_naming(text: str) -> list[psutil.Process]:
    """The living processes that have this text in their command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and any(text in word for word in process.info["cmdline"] or ())
    ]


@contextmanager
def silent_port(port: int = 0) -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def curt_port(port: int = 0) -> Iterator[int]:
    """A port that takes connections and closes them at once."""
    with socketserver.TCPServer(("127.0.0.1", port), socketserver.BaseRequestHandler) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


class Talker:
    """A Python process that says one line at a time, and goes on when it is told to."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """Its next line; empty where it has ended."""
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it run on from where it waits for a line."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Kill it with SIGKILL, if it is still there."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def talkers(count: int, program: str, *arguments: object) -> Iterator[list[Talker]]:
    """Several processes of one program, gone at the end."""
    started = [Talker(program, *arguments) for _ in range(count)]
    try:
        yield started
    finally:
        for one in started:
            one.end()
