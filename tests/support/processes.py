"""Starts, finds and waits for processes and ports on this machine."""

import signal
import socket
import socketserver
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psutil

ROOT = Path(__file__).parents[2]
"""The folder of the project. A Python process that starts here can import our code."""


def eventually(condition: Callable[[], bool], *, within_s: float = 300) -> bool:
    """Wait for the condition. False if it does not become true in time, which is long: machines are busy."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def processes_naming(text: str) -> list[psutil.Process]:
    """The running processes with this text in their command line. `info` has what they were: they may end meanwhile."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "name", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and any(text in word for word in process.info["cmdline"] or ())
    ]


@contextmanager
def silent_port(port: int = 0) -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        yield int(listener.getsockname()[1])


@contextmanager
def curt_port(port: int = 0) -> Iterator[int]:
    """A port that accepts connections and closes them at once."""
    with socketserver.TCPServer(("127.0.0.1", port), socketserver.BaseRequestHandler) as server:
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


_KILLED = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine

database, left = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]

@event.listens_for(Engine, "before_cursor_execute")
def kill(connection, *_):
    global left
    left -= database in str(connection.engine.url.database)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_at_statement(
    number: int, database: str, program: str, *arguments: object, env: Mapping[str, str] | None = None
) -> None:
    """Run a Python program that ends by SIGKILL in the middle of its work on a database, however fast the machine is.

    Args:
        number: of the SQL statement instead of which it ends, counted from one.
        database: text in the path of the database.
        program: its source.
        arguments: of the program.
        env: its environment, if not that of this process.
    """
    command = [sys.executable, "-c", _KILLED + program, database, str(number), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


class Talker:
    """A Python process that prints a line, and waits for input before it continues."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """Its next line. Empty if the process has ended."""
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Send the line that the process waits for."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Kill it with SIGKILL if it is still running."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def talkers(count: int, program: str, *arguments: object) -> Iterator[list[Talker]]:
    """Several processes of one program. They are killed at the end."""
    started = [Talker(program, *arguments) for _ in range(count)]
    try:
        yield started
    finally:
        for talker in started:
            talker.end()
