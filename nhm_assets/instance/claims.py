"""Which daemon launches a run, or starts one over: the first one that says so in the instance's own database.

Dagster's queue reads a run's status and then launches the run. Between the two, a second daemon, started by
mistake, reads the same: the run would get two processes, the first of which to end would be taken for its death.
In the same way two daemons would each start a run over whose process died.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from dagster import DagsterInstance
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from nhm_assets.domain.dagster_internals import KeyValueStoreTable, SqlRunStorage

_CLAIMS: Final = "nhm/claims/"
_LAUNCH: Final = _CLAIMS + "launch/"
_RETRY: Final = _CLAIMS + "retry/"
_REMEMBERED: Final = timedelta(days=1)
"""No daemon stands still for longer between reading a run's status and acting on it."""


def claim_launch(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the run is for the caller to launch: true once for each run, in whatever process."""
    return _claimed(instance, _LAUNCH + run_id, "")


def claim_retry(instance: DagsterInstance, failed_run_id: str, run_id: str) -> str:
    """Id of the run that starts the failed one over: the first that claimed to, the same for all that ask."""
    key = _RETRY + failed_run_id
    if _claimed(instance, key, run_id):
        return run_id
    with _runs(instance).connect() as connection:
        value = connection.execute(select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == key))
        return str(value.scalar_one()).partition(" ")[2]


def _claimed(instance: DagsterInstance, key: str, claimant: str) -> bool:
    """Whether nobody had claimed it.

    The table is the one that Dagster keeps its cursors in; its unique key decides, in SQLite and PostgreSQL alike.
    """
    now = datetime.now(UTC)
    forgotten = delete(KeyValueStoreTable).where(
        KeyValueStoreTable.c.key.startswith(_CLAIMS),
        KeyValueStoreTable.c.value < (now - _REMEMBERED).isoformat(),
    )
    claimed = insert(KeyValueStoreTable).values(key=key, value=f"{now.isoformat()} {claimant}")
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
        connection.execute(delete(KeyValueStoreTable).where(KeyValueStoreTable.c.key == _LAUNCH + run_id))


def _runs(instance: DagsterInstance) -> SqlRunStorage:
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        raise TypeError(f"runs are kept in {type(storage).__name__}: take SQLite or PostgreSQL, as in deploy/")
    return storage
