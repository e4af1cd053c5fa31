"""A year of records for `benchmarks.simulated_weeks`: those of one week, copied as if weeks before had been alike.

So Dagster's database is as large as after a year, and the weeks after it are simulated with it. The copies are older by
their times, and newer by their ids.
"""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from benchmarks.simulated_platform import postgres_address

if TYPE_CHECKING:
    from pymongo.database import Database

_STEP: Final = 10_000_000
"""Between the ids of a record and of its copy: more than a week has records."""
_BY_RUN: Final = "JOIN copied ON copied.old = source.run_id"
_BY_EVENT: Final = "JOIN event_logs ON event_logs.id = source.event_id JOIN copied ON copied.old = event_logs.run_id"
_OWNERS: Final = {
    **dict.fromkeys(("runs", "run_tags", "event_logs", "asset_check_executions"), _BY_RUN),
    "asset_event_tags": _BY_EVENT,
}
"""Table -> how its rows belong to the runs that are copied."""
_IDS: Final = ("id", "event_id", "evaluation_event_storage_id", "materialization_event_storage_id")
_TEXTS: Final = ("run_body", "event", "evaluation_event", "partition", "value")
"""Columns that may hold the id of the run, or the week."""
_SECONDS: Final = ("start_time", "end_time")
"""Columns with seconds since 1970."""
_COLUMNS: Final = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position"""


def copy_week(week: str, earlier: Sequence[str], database: "Database[dict[str, Any]]") -> None:
    """Copy what Dagster and the platform recorded of a week to earlier weeks, each as far back as it lies.

    Args:
        week: all of its runs have ended.
        earlier: the weeks to fill, the oldest first.
        database: with `retraining_triggers`.
    """
    import psycopg2

    from nhm_assets.runs.tags import WEEK_TAG

    with closing(psycopg2.connect(**postgres_address())) as connection, connection.cursor() as cursor:
        for number, other in enumerate(earlier, 1):
            ago = timedelta(weeks=len(earlier) - number + 1)
            cursor.execute("DROP TABLE IF EXISTS copied")
            cursor.execute(
                "CREATE TEMPORARY TABLE copied AS SELECT run_id AS old, md5(run_id || %s)::uuid::text AS new"
                " FROM run_tags WHERE key = %s AND value = %s",
                (other, WEEK_TAG, week),
            )
            for table in _OWNERS:
                _copy(cursor, table, {"shift": number * _STEP, "ago": ago, "week": week, "other": other})
            connection.commit()
            _copy_triggers(database, week, other, ago)
        connection.autocommit = True
        for table in _OWNERS:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")  # noqa: S608
            cursor.execute(f"VACUUM ANALYZE {table}")


def _copy(cursor: Any, table: str, values: dict[str, Any]) -> None:
    cursor.execute(_COLUMNS, (table,))
    columns = cursor.fetchall()
    names, changed = ", ".join(f'"{name}"' for name, _ in columns), ", ".join(_changed(*column) for column in columns)
    cursor.execute(
        f"INSERT INTO {table} ({names}) SELECT {changed} FROM {table} AS source {_OWNERS[table]} ORDER BY source.id",  # noqa: S608
        values,
    )


def _changed(name: str, kind: str) -> str:
    """The value of a column in the copy of a row."""
    own = f'source."{name}"'
    if name in _IDS:
        return f"{own} + %(shift)s"
    if name == "run_id":
        return "copied.new"
    if name in _TEXTS:
        return f"replace(replace({own}, copied.old, copied.new), %(week)s, %(other)s)"
    if kind.startswith("timestamp"):
        return f"{own} - %(ago)s"
    return f"{own} - extract(epoch FROM %(ago)s)" if name in _SECONDS else own


def _copy_triggers(database: "Database[dict[str, Any]]", week: str, other: str, ago: timedelta) -> None:
    from nhm_assets.runs.triggers import TRIGGERS

    def copied(name: str, value: Any) -> Any:
        if name == "run_id" and value:
            # As PostgreSQL makes it of the same text.
            return str(UUID(md5(f"{value}{other}".encode(), usedforsecurity=False).hexdigest()))
        if isinstance(value, str):
            return value.replace(week, other)
        return value - ago if isinstance(value, datetime) else value

    documents = database[TRIGGERS].find({"week": week})
    found = [{name: copied(name, value) for name, value in one.items()} for one in documents]
    if found:
        database[TRIGGERS].insert_many(found)
