"""A real PostgreSQL server for tests: Debian's programs, data in a temporary folder."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.progress import announce

USER = "dagster"
_INSTALLED = Path("/usr/lib/postgresql")
_FAST = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


@dataclass
class Postgres:
    """A server that can be stopped and started again. Every user of this machine may connect."""

    programs: Path
    folder: Path
    account: str | None
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on the data that it has, and wait until it answers."""
        options = ["-D", self.folder / "data", "-h", "127.0.0.1", "-p", str(self.port), "-k", self.folder]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", *options, *_FAST],
                stdout=log,
                stderr=log,
                user=self.account,
                cwd=self.folder,
                env=_environment(),
                start_new_session=True,
            )
        ready = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        is_ready = eventually(lambda: subprocess.run(ready, check=False).returncode == 0)
        assert is_ready, f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-3000:]}"

    def crash(self) -> None:
        """Stop it at once, like pg_ctl's `immediate` mode: it recovers from its log when it starts again."""
        if self.process:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def new_database(self, name: str) -> dict[str, str]:
        """Create a database. Returns the environment variables that `deploy/postgres/dagster.yaml` reads."""
        command = [self.programs / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name]
        subprocess.run(command, check=True, capture_output=True)
        return {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_USERNAME": USER,
            "DAGSTER_PG_PASSWORD": "not-checked",
            "DAGSTER_PG_DB": name,
        }


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A new server. The test is skipped where PostgreSQL is not installed."""
    programs = _programs()
    announce("PostgreSQL")
    # PostgreSQL refuses to run as root, and another account cannot read root's temporary folders.
    folder, account = Path(tempfile.mkdtemp(prefix="nhm-postgres-")), _account()
    server = Postgres(programs, folder, account, free_port())
    try:
        if account:
            shutil.chown(folder, account, pwd.getpwnam(account).pw_gid)
        initdb = [programs / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, user=account, cwd=folder, env=_environment())
        server.start()
        yield server
    finally:
        server.crash()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    installed = sorted(_INSTALLED.glob("*/bin/initdb"))
    if not installed:
        pytest.skip(f"PostgreSQL is not installed under {_INSTALLED}: apt-get install postgresql")
    return installed[-1].parent


def _account() -> str | None:
    """The account that the server runs as; None if it can be our own."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in accounts else "nobody"


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
