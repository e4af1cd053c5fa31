"""Dagster's PostgreSQL storage with connections that stay open; the tables and what is written are the same.

Dagster opens a connection for almost every statement and closes it again, because a process opens its instance many
times (a code server for each tick) and each instance would keep its own. Here all instances of a process share them.
They also leave out what tells nobody anything: a notification for every event, to which nobody listens and which waits
for the disk like the event itself, and the question whether tables and columns exist that were found before.
"""

import os
import select
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import ref

from sqlalchemy import Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import QueuePool

from nhm_assets.domain.dagster_internals import (
    ConfigurableClass,
    ConfigurableClassData,
    DagsterStorage,
    EventLogStorage,
    RunStorage,
    ScheduleStorage,
    pg_config,
)
from nhm_assets.instance.asked_once import ask_once

if TYPE_CHECKING:
    from dagster_postgres import DagsterPostgresStorage
    from sqlalchemy.pool import ConnectionPoolEntry

KEPT_OPEN: Final = 2
"""Most connections that a process keeps. While more threads ask at the same time, each gets one that is closed after
its use, as all of Dagster's own are. So nobody waits for a connection, not even a thread that holds one already."""
_RENEWED_AFTER_S: Final = 3600
"""A server process of PostgreSQL grows with what it has been asked."""
_ASKED_AFTER_S: Final = 30.0
"""An idle connection may be dropped on the way to the server, without a word to us."""
_NOTIFICATION: Final = "NOTIFY run_events,"
_SCHEMA: Final = {
    "_run_storage": ("has_run_stats_index_cols", "has_backfill_id_column"),
    "_event_log_storage": ("has_table", "has_asset_key_col"),
}
"""Methods of Dagster's storages that ask whether a table or a column exists, again and again."""
_LAST_USED: Final = "nhm/last_used"
_LOST_SERVER: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq parameters: notice within a minute, not after a quarter of an hour, that a server's machine is gone, which says
nothing on an open connection. A parameter in `dagster.yaml` wins."""


# A process has one database, so the cache holds one engine: nothing in Dagster lives as long as the process.
@lru_cache(maxsize=1)
def _shared_engine(address: str) -> Engine:
    """The engine for all instances of this process. Dagster's own, except that connections stay open."""
    parameters = make_url(address).query
    engine = create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        poolclass=QueuePool,
        pool_size=KEPT_OPEN,
        max_overflow=-1,
        pool_recycle=_RENEWED_AFTER_S,
        connect_args={name: value for name, value in _LOST_SERVER.items() if name not in parameters},
    )
    event.listen(engine, "connect", _remember_use)
    event.listen(engine, "checkin", _remember_use)
    event.listen(engine, "checkout", partial(_require_alive, engine.dialect))
    event.listen(engine, "do_execute", _leave_out_notification)
    os.register_at_fork(after_in_child=partial(_leave_to_parent, ref(engine)))
    return engine


def _remember_use(_: object, entry: "ConnectionPoolEntry") -> None:
    entry.info[_LAST_USED] = time.monotonic()


def _require_alive(dialect: Dialect, connection: Any, entry: "ConnectionPoolEntry", _: object) -> None:
    """Ask the server before a connection is used, unless it certainly still exists.

    Nothing can be read from an idle connection, except the farewell of a server that restarts. To ask before each use,
    as `pool_pre_ping` does, would be almost half of all that a run sends.

    Raises:
        InvalidatePoolError: the server does not know the connection any more. SQLAlchemy replaces all of them.
    """
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    if not waiting.poll(0) and time.monotonic() - entry.info[_LAST_USED] < _ASKED_AFTER_S:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def _leave_out_notification(_cursor: object, statement: str, _parameters: object, _context: object) -> bool:
    """Whether SQLAlchemy should send nothing."""
    return statement.startswith(_NOTIFICATION)


def _leave_to_parent(engine: "ref[Engine]") -> None:
    """Let a forked process open connections of its own. To close its parent's would end them for both."""
    if found := engine():
        found.dispose(close=False)


@lru_cache(maxsize=1)
def _create_tables(address: str) -> None:
    """Create Dagster's tables if they are missing; a process looks once."""
    from dagster_postgres import DagsterPostgresStorage

    DagsterPostgresStorage(address)


@lru_cache(maxsize=1)
def _found_in(address: str) -> set[tuple[Any, ...]]:
    """What this process has found in the database's schema: migrations only add to it."""
    del address
    return set()


class PooledPostgresStorage(DagsterStorage[Any], ConfigurableClass):
    """Dagster's storage in a PostgreSQL database: runs, events and ticks.

    `dagster-webserver` keeps Dagster's own connections: it has some for each storage, with a time limit for statements.
    """

    def __init__(self, storage: "DagsterPostgresStorage", inst_data: ConfigurableClassData | None = None) -> None:
        self._storage, self._inst_data = storage, inst_data
        engine = _shared_engine(storage.postgres_url)
        for one in (storage._run_storage, storage._event_log_storage, storage._schedule_storage):
            one._engine = engine
        for name, methods in _SCHEMA.items():
            for method in methods:
                ask_once(getattr(storage, name), method, _found_in(storage.postgres_url))
        super().__init__()

    @property
    def run_storage(self) -> RunStorage[Any]:
        """Runs."""
        return self._storage.run_storage

    @property
    def event_log_storage(self) -> EventLogStorage[Any]:
        """Events."""
        return self._storage.event_log_storage

    @property
    def schedule_storage(self) -> ScheduleStorage[Any]:
        """Ticks."""
        return self._storage.schedule_storage

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The section of dagster.yaml."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """As that of `storage: postgres`, without tokens in place of a password: they expire."""
        fields = cast("dict[str, Any]", pg_config())
        return {name: field for name, field in fields.items() if name != "auth_provider"}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> "PooledPostgresStorage":
        """The storage that a dagster.yaml names."""
        from dagster_postgres import DagsterPostgresStorage
        from dagster_postgres.utils import pg_url_from_config

        address = pg_url_from_config(config_value)
        if config_value["should_autocreate_tables"]:
            _create_tables(address)
        return cls(DagsterPostgresStorage(address, should_autocreate_tables=False), inst_data)
