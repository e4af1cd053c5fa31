"""The SQLite file of the embedded MLflow: made and migrated in a file beside it, then renamed.

MLflow makes its tables in many transactions. A process that is killed in between leaves a file that MLflow never opens
again, so nobody sees the file before it is complete.

MLflow also records where each file of a run or a version is, as an absolute path. If the folder was moved or copied,
these paths are changed to the new place when the database is opened.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from resources.errors import MlflowRefused, MlflowUnavailable
from resources.folders import require_folder
from resources.mlflow_errors import loaded_class
from resources.mlflow_server import client_version

_FILE = "mlflow.db"
_SPECIAL = "%?#"
"""What has a meaning in an address."""
_UNCHANGED = "".join(chr(code) for code in range(32, 127) if chr(code) not in _SPECIAL)
"""What `quote` leaves as it is."""
_PATHS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns that hold where files are, by table."""
_DRAFT = ".mlflow.db.draft"
_FITS = ".mlflow.db.fits"
"""Says which schema fits which MLflow, because MLflow takes a second to be imported and asked."""


def database_file(home: Path) -> Path:
    """The database in this folder."""
    return home / _FILE


def database_address(home: Path) -> str:
    """The address of the database in this folder, as MLflow takes it."""
    return _address(database_file(home))


def artifact_root(home: Path) -> str:
    """The folder of the files, as MLflow takes it.

    MLflow decodes a path like an address, where %20 is a blank. So a path in which that makes a difference is written
    as an address.
    """
    folder = home / "artifacts"
    return folder.as_uri() if set(str(folder)) & set(_SPECIAL) else str(folder)


def require_database(home: Path) -> None:
    """Make the database in this folder if it is missing, and migrate one of an older MLflow.

    Raises:
        MlflowUnavailable: another process keeps it locked.
        MlflowRefused: the file is damaged, or cannot be migrated.
        StorageError: the folder cannot be used.
    """
    require_folder(home)
    database, draft = database_file(home), home / _DRAFT
    with FileLock(home / "migration.lock"), _explained(database):
        _remove(draft)
        if not _was_completed(database):
            _make(draft, artifact_root(home))
            # SQLite would apply the journal of an incomplete file to the new one.
            Path(f"{database}-journal").unlink(missing_ok=True)
            draft.replace(database)
        elif not _is_known_to_fit(database) and _is_outdated(database):
            _copy(database, draft)
            _migrate(draft)
            draft.replace(database)
        _remember_fit(database)
        _follow_move(database, home)


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


def _make(draft: Path, artifacts: str) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # It announces the creation on the terminal of whichever command comes first.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    SqlAlchemyStore(_address(draft), artifacts).engine.dispose()


def _revision(database: Path) -> str | None:
    """MLflow's name of the schema."""
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _is_outdated(database: Path) -> bool:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return _revision(database) != _get_latest_schema_revision()


def _fit(database: Path) -> str:
    return f"MLflow {client_version()}, schema {_revision(database)}\n"


def _is_known_to_fit(database: Path) -> bool:
    """Whether the schema was the newest one of the MLflow that is installed when it was last opened."""
    record = database.with_name(_FITS)
    return record.exists() and record.read_text() == _fit(database)


def _remember_fit(database: Path) -> None:
    if not _is_known_to_fit(database):
        database.with_name(_FITS).write_text(_fit(database))


def _copy(database: Path, draft: Path) -> None:
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(draft)) as target:
        source.backup(target)


def _migrate(draft: Path) -> None:
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine_with_retry

    engine = create_sqlalchemy_engine_with_retry(_address(draft))
    try:
        _upgrade_db(engine)
    finally:
        engine.dispose()


def _follow_move(database: Path, home: Path) -> None:
    """Change the recorded paths if the folder is now elsewhere than when they were recorded."""
    new = artifact_root(home)
    with closing(sqlite3.connect(database)) as connection, connection:
        old = _recorded_root(connection)
        if old is None or old == new or not _was_moved(_folder(old), home / "artifacts"):
            return
        for table, columns in _PATHS.items():
            known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in known.intersection(columns):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608 - names of our own
                    (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
                )
    logging.getLogger(__name__).info("NHM_HOME was moved: MLflow now finds in %s what was in %s", new, old)


def _recorded_root(connection: sqlite3.Connection) -> str | None:
    """The folder of the files as the oldest experiment records it: MLflow's own, or one of the platform."""
    query = "SELECT experiment_id, name, artifact_location FROM experiments ORDER BY experiment_id"
    for number, name, location in connection.execute(query):
        for end in (f"/{number}", f"/{name}"):
            if location and location.endswith(end):
                return str(location.removesuffix(end))
    return None


def _folder(root: str) -> Path | None:
    """The folder that MLflow means by this; None if it is none of a machine."""
    parts = urlsplit(root)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(root) if root.startswith("/") else None


def _was_moved(old: Path | None, new: Path) -> bool:
    """Whether the files are in the new folder: it is there and another one, or the old one is gone."""
    if old is None:
        return False
    if not old.exists():
        return True
    return new.is_dir() and not old.samefile(new)


def _address(database: Path) -> str:
    name = quote(str(database), safe=_UNCHANGED)
    # MLflow makes the folder that it reads in an address of the usual form, and reads %25 there as it is.
    return f"sqlite:///{name}" if name == str(database) else f"sqlite+pysqlite:///{name}"


@contextmanager
def _explained(database: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise MlflowUnavailable(
            f"MLflow's database {database} cannot be used ({error}): check that its disk is not full and no other"
            " program keeps it open, then run this again"
        ) from error
    except Exception as error:
        of_mlflow = loaded_class("sqlalchemy.exc", "SQLAlchemyError") + loaded_class("alembic.util.exc", "CommandError")
        if not isinstance(error, (sqlite3.DatabaseError, *of_mlflow)):
            raise
        raise MlflowRefused(
            f"MLflow's database {database} is damaged or from a newer MLflow ({str(error).splitlines()[0]}):"
            " restore it from a backup, install the MLflow that wrote it, or move it away to start with an empty one"
        ) from error
