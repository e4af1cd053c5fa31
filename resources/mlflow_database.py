"""The SQLite file of the embedded MLflow: made and migrated in a file beside it, then renamed.

MLflow makes its tables in many transactions. A process that is killed in between leaves a file that MLflow never opens
again, so nobody sees the file before it is complete.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from resources.errors import MlflowRefused, MlflowUnavailable

_FILE = "mlflow.db"
_DRAFT = ".mlflow.db.draft"


def database_address(home: Path) -> str:
    """The address of the database in this folder, as MLflow takes it."""
    return f"sqlite:///{home / _FILE}"


def require_database(home: Path) -> None:
    """Make the database in this folder if it is missing, and migrate one of an older MLflow.

    Raises:
        MlflowUnavailable: another process keeps it locked.
        MlflowRefused: the file is damaged, or cannot be migrated.
    """
    home.mkdir(parents=True, exist_ok=True)
    database, draft = home / _FILE, home / _DRAFT
    with FileLock(home / "migration.lock"), _explained(database):
        _remove(draft)
        if not _was_completed(database):
            _make(draft, home / "artifacts")
            # SQLite would apply the journal of an incomplete file to the new one.
            Path(f"{database}-journal").unlink(missing_ok=True)
            draft.replace(database)
        elif _is_outdated(database):
            _copy(database, draft)
            _migrate(draft)
            draft.replace(database)


def _remove(draft: Path) -> None:
    """Remove what a killed process left behind."""
    for leftover in draft.parent.glob(f"{draft.name}*"):
        leftover.unlink()


def _was_completed(database: Path) -> bool:
    """Whether MLflow has ever opened this file: its last step then is to create an experiment."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return False
        return connection.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None


def _make(draft: Path, artifacts: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # It announces the creation on the terminal of whichever command comes first.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    SqlAlchemyStore(f"sqlite:///{draft}", str(artifacts)).engine.dispose()


def _is_outdated(database: Path) -> bool:
    from mlflow.store.db.utils import _get_latest_schema_revision

    with closing(sqlite3.connect(database)) as connection:
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return revision is None or revision[0] != _get_latest_schema_revision()


def _copy(database: Path, draft: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(draft)) as target:
        source.backup(target)


def _migrate(draft: Path) -> None:
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    engine = create_sqlalchemy_engine_with_retry(f"sqlite:///{draft}")
    try:
        _upgrade_db(engine)
    finally:
        engine.dispose()


@contextmanager
def _explained(database: Path) -> Iterator[None]:
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except sqlite3.OperationalError as error:
        raise MlflowUnavailable(
            f"MLflow's database {database} cannot be used ({error}): check that its disk is not full and no other"
            " program keeps it open, then run this again"
        ) from error
    except (sqlite3.DatabaseError, SQLAlchemyError, CommandError) as error:
        raise MlflowRefused(
            f"MLflow's database {database} is damaged or from a newer MLflow ({str(error).splitlines()[0]}):"
            " restore it from a backup, install the MLflow that wrote it, or move it away to start with an empty one"
        ) from error
