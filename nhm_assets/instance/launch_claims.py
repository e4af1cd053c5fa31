"""Which daemon launches a run: the first one that says so in the instance's own database.

Dagster's queue reads a run's status and then launches the run. Between the two, a second daemon, started by
mistake, reads the same: the run would get two processes, the first of which to end would be taken for its death.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from dagster import DagsterInstance
from dagster._core.storage.runs.schema import KeyValueStoreTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage
from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

_PREFIX: Final = "nhm/launched/"
_REMEMBERED: Final = timedelta(days=1)
"""No daemon stands still for longer between reading a run's status and launching the run."""


def claim_launch(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the run is for the caller to launch: true once for each run, in whatever process.

    The table is the one that Dagster keeps its cursors in; its unique key decides, in SQLite and PostgreSQL alike.
    """
    now = datetime.now(UTC)
    forgotten = delete(KeyValueStoreTable).where(
        KeyValueStoreTable.c.key.startswith(_PREFIX),
        KeyValueStoreTable.c.value < (now - _REMEMBERED).isoformat(),
    )
    claimed = insert(KeyValueStoreTable).values(key=_PREFIX + run_id, value=now.isoformat())
    try:
        with _runs(instance).connect() as connection:
            connection.execute(forgotten)
            connection.execute(claimed)
    except IntegrityError:
        return False
    return True


def release_launch(instance: DagsterInstance, run_id: str) -> None:
    """Take a claim back: the launch failed, and Dagster may put the run into the queue again."""
    with _runs(instance).connect() as connection:
        connection.execute(delete(KeyValueStoreTable).where(KeyValueStoreTable.c.key == _PREFIX + run_id))


def _runs(instance: DagsterInstance) -> SqlRunStorage:
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        raise TypeError(f"runs are kept in {type(storage).__name__}: take SQLite or PostgreSQL, as in deploy/")
    return storage
