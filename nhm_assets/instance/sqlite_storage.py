"""Dagster's SQLite storage with connections that stay open; the files are the same.

Dagster opens a connection for every event and closes it again. The last one to close a file also moves the journal
into it and deletes the journal. A retraining of five specialists does all of that 1,700 times, and on a busy disk it is
most of what the retraining waits for. Transactions and waiting times stay as they are, so what Dagster has stored
survives a killed process exactly as before. A process also reads Dagster's migrations only once, and does not ask again
for a table that it has found.

A transaction does not wait for the disk. After a power failure, the last ones may be missing, as if they had never
begun; the files are whole. The audit log and the registry say what was promoted. A candidate whose verdicts are missing
is not promoted: its retraining is run again.
"""

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from dagster import EventLogEntry
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from nhm_assets.domain.dagster_internals import (
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    DagsterSqliteStorage,
    SqliteEventLogStorage,
    SqliteRunStorage,
    SqliteScheduleStorage,
    read_migrations_once,
)
from nhm_assets.instance.asked_once import ask_once

_OPEN_FILES: Final = 8
"""Most files that one storage keeps open: each run has a file of its own, and the webserver reads many."""


@dataclass(frozen=True)
class _OpenFile:
    """A file's engine, and which file that was when it was opened."""

    engine: Engine
    identity: tuple[int, int]


@dataclass
class _Opened:
    """What one process has opened."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    files: OrderedDict[Path, _OpenFile] = field(default_factory=OrderedDict)


class _Connections:
    """Connections to SQLite files, which stay open.

    A forked process gets its own: with those of its parent, it would break the parent's locks. (It never closes the
    parent's either.)
    """

    def __init__(self) -> None:
        self._opened: dict[int, _Opened] = {}

    @property
    def _own(self) -> _Opened:
        return self._opened.get(os.getpid()) or self._opened.setdefault(os.getpid(), _Opened())

    @property
    def lock(self) -> threading.RLock:
        """A lock between the threads of this process."""
        return self._own.lock

    @contextmanager
    def transaction(self, path: Path) -> Iterator[Connection]:
        """A transaction in this file. After an error, the next one gets a new connection."""
        engine = self._engine(path)
        try:
            with engine.connect() as connection, connection.begin():
                yield connection
        except BaseException:
            self._forget(path)
            raise

    def _engine(self, path: Path) -> Engine:
        with self.lock:
            files = self._own.files
            if path in files and files[path].identity != _identity(path):
                # Somebody has deleted the file, or put another one in its place.
                self._forget(path)
            if path not in files:
                engine = _new_engine(path)
                with engine.connect():
                    # SQLite creates the file as it opens it.
                    files[path] = _OpenFile(engine, _identity(path))
            files.move_to_end(path)
            while len(files) > _OPEN_FILES:
                self._forget(next(iter(files)))
            return files[path].engine

    def _forget(self, path: Path) -> None:
        with self.lock:
            if opened := self._own.files.pop(path, None):
                opened.engine.dispose()

    def close(self) -> None:
        """Close all; the next transaction opens its file again."""
        with self.lock:
            for path in list(self._own.files):
                self._forget(path)


def _new_engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=1,
        # Threads that come at the same time get connections that are closed afterwards.
        max_overflow=-1,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _wait_for_no_disk)
    return engine


def _wait_for_no_disk(connection: sqlite3.Connection, _: object) -> None:
    """With a write-ahead log, only moving the log into its file waits for the disk.

    Source: https://sqlite.org/pragma.html#pragma_synchronous.
    """
    # Dagster itself turns the log on once a new file has its tables. It still does if another process holds the file.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


class PooledEventLogStorage(SqliteEventLogStorage):
    """Dagster's event log: a file per run, and one that all runs share."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._connections = _Connections()
        # For each event of a check, Dagster asks for a table, by a connection of its own.
        ask_once(self, "has_table", set())
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        path = Path(self.path_for_shard(shard))
        # As in Dagster, one thread at a time; but with a lock that no thread of a parent process can hold.
        with self._connections.lock:
            if shard not in self._initialized_dbs or not path.exists():
                engine = _new_engine(path)
                self._initdb(engine)
                engine.dispose()
                self._initialized_dbs.add(shard)
            with self._connections.transaction(path) as connection:
                yield connection

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event in the file of its run, and where several runs are asked for it, in the shared one."""
        super().store_event(event)
        # The UI reads new events when the file changes, and a transaction changes only the journal beside it.
        with suppress(FileNotFoundError):
            os.utime(self.path_for_shard(event.run_id))

    def wipe(self) -> None:
        """Delete all events."""
        self._connections.close()
        super().wipe()

    def dispose(self) -> None:
        """Stop watching, and close all files."""
        super().dispose()
        self._connections.close()


class _OneFile:
    """A storage with all its tables in one file."""

    _conn_string: str

    @cached_property
    def _connections(self) -> _Connections:
        return _Connections()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A transaction."""
        with self._connections.transaction(Path(self._conn_string.removeprefix("sqlite:///"))) as connection:
            yield connection

    def dispose(self) -> None:
        """Close the file."""
        self._connections.close()


class PooledRunStorage(_OneFile, SqliteRunStorage):
    """Dagster's records of runs."""


class PooledScheduleStorage(_OneFile, SqliteScheduleStorage):
    """Dagster's records of ticks."""


class PooledSqliteStorage(DagsterSqliteStorage):
    """Dagster's storage in a folder, usually DAGSTER_HOME: runs, events and ticks."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        read_migrations_once()
        super().__init__(str(Path(base_dir).expanduser()), inst_data)
        self._run_storage = PooledRunStorage(self._run_storage._conn_string)
        self._event_log_storage = PooledEventLogStorage(self._event_log_storage._base_dir)
        self._schedule_storage = PooledScheduleStorage(self._schedule_storage._conn_string)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "PooledSqliteStorage":
        """The storage that a dagster.yaml names."""
        return cls.from_local(inst_data=inst_data, **config_value)
