"""Decides which daemon requests, launches or retries a run, if two daemons are running: by mistake, or in an upgrade.

Dagster's daemon reads the status of a run and then launches it. A second daemon can read the same status in between.
Then the run would have two processes, and the end of the first process would look like the death of the run. In the
same way, two daemons would each retry a run whose process died, and each create a run that a schedule requests: one
that starts during a tick of the other does the same tick again. So a daemon first claims what it does in the instance's
database, and only the first claim succeeds.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from dagster import DagsterInstance, DagsterRunStatus
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from nhm_assets.domain.dagster_internals import KeyValueStoreTable, RunsTable, SqlRunStorage

_CLAIMS: Final = "nhm/claims/"
_LAUNCH: Final = _CLAIMS + "launch/"
_RETRY: Final = _CLAIMS + "retry/"
_REQUEST: Final = _CLAIMS + "request/"
_EXPIRES_AFTER: Final = timedelta(days=1)
"""No daemon pauses longer between reading the status of a run and acting on it."""


def claim_launch(instance: DagsterInstance, run_id: str) -> bool:
    """Claim the launch of a run. True for the first caller only, across all processes."""
    return _claim(instance, _LAUNCH + run_id, "")


def release_launch(instance: DagsterInstance, run_id: str) -> None:
    """Release the claim after a failed launch, because Dagster may queue the run again."""
    with _run_storage(instance).connect() as connection:
        connection.execute(delete(KeyValueStoreTable).where(KeyValueStoreTable.c.key == _LAUNCH + run_id))


def claim_retry(instance: DagsterInstance, failed_run_id: str, run_id: str) -> str:
    """Claim the retry of a failed run for `run_id`. Returns the run that claimed it first, the same for all callers."""
    return _claimant(instance, _RETRY + failed_run_id, run_id)


def claim_request(instance: DagsterInstance, run_key: str, run_id: str) -> str:
    """Claim a requested run key for `run_id`. Returns the run that claimed it first, the same for all callers."""
    return _claimant(instance, _REQUEST + run_key, run_id)


def take_over_request(instance: DagsterInstance, run_key: str, of_run_id: str, run_id: str) -> bool:
    """Claim for `run_id` what a run that will never be submitted has claimed. True for one caller only.

    It is one statement that names the claim of the other run, so it does nothing once somebody else has taken it over.
    """
    theirs = update(KeyValueStoreTable).where(
        KeyValueStoreTable.c.key == _REQUEST + run_key,
        KeyValueStoreTable.c.value.endswith(f" {of_run_id}", autoescape=True),
    )
    with _run_storage(instance).connect() as connection:
        return connection.execute(theirs.values(value=_value(datetime.now(UTC), run_id))).rowcount == 1


def delete_unsubmitted(instance: DagsterInstance, run_id: str) -> bool:
    """Delete a run, unless somebody has submitted it. Whether it is gone."""
    unsubmitted = delete(RunsTable).where(
        RunsTable.c.run_id == run_id, RunsTable.c.status == DagsterRunStatus.NOT_STARTED.value
    )
    with _run_storage(instance).connect() as connection:
        connection.execute(unsubmitted)
    if instance.get_run_by_id(run_id):
        return False
    # Its events, which are stored elsewhere.
    instance.delete_run(run_id)
    return True


def _claimant(instance: DagsterInstance, key: str, run_id: str) -> str:
    if _claim(instance, key, run_id):
        return run_id
    with _run_storage(instance).connect() as connection:
        value = connection.execute(select(KeyValueStoreTable.c.value).where(KeyValueStoreTable.c.key == key))
        return str(value.scalar_one()).partition(" ")[2]


def _claim(instance: DagsterInstance, key: str, claimant: str) -> bool:
    """Insert the claim, and delete expired claims. False if the key is claimed already.

    The unique key of Dagster's own key-value table decides, in SQLite and PostgreSQL alike.
    """
    now = datetime.now(UTC)
    expired = delete(KeyValueStoreTable).where(
        KeyValueStoreTable.c.key.startswith(_CLAIMS),
        KeyValueStoreTable.c.value < (now - _EXPIRES_AFTER).isoformat(),
    )
    try:
        with _run_storage(instance).connect() as connection:
            connection.execute(expired)
            connection.execute(insert(KeyValueStoreTable).values(key=key, value=_value(now, claimant)))
    except IntegrityError:
        return False
    return True


def _value(now: datetime, claimant: str) -> str:
    return f"{now.isoformat()} {claimant}"


def _run_storage(instance: DagsterInstance) -> SqlRunStorage:
    storage = instance.run_storage
    if not isinstance(storage, SqlRunStorage):
        raise TypeError(f"unsupported run storage {type(storage).__name__}: use SQLite or PostgreSQL, as in deploy/")
    return storage
