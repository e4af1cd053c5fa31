"""The reader of the SQLite file of the embedded MLflow, in the schema of the MLflow that is installed.

`require_database` comes first: it makes or migrates the file. tests/resources/test_mlflow_readers.py compares every
answer with that of MLflow's client, so an MLflow with other tables is noticed there.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from math import nan
from pathlib import Path
from typing import Final

from resources.mlflow_errors import NOT_A_NAME, NOT_THERE, MlflowAnswer
from resources.mlflow_reader import (
    Page,
    ReadData,
    ReadExperiment,
    ReadInfo,
    ReadModel,
    ReadRun,
    ReadVersion,
    T,
    require_all,
)

_WAIT_S: Final = 20.0
"""How long MLflow's own client waits for another process that writes."""
_QUESTION: Final = re.compile(r"name='([^']*)'(?: and tags\.`([^`]*)` = '([^']*)')?")
_VERSIONS: Final = """
    SELECT name, version, current_stage, run_id, last_updated_time FROM model_versions
    WHERE current_stage != 'Deleted_Internal'"""
"""MLflow keeps deleted versions in that stage."""
_TAGS: Final = "SELECT name, version, key, value FROM model_version_tags"
_MODELS: Final = "SELECT name, last_updated_time FROM registered_models"
_HIGHEST: Final = "SELECT name, max(version) FROM model_versions"
_ALIASES: Final = "SELECT name, alias, version FROM registered_model_aliases"
_LIKE: Final = re.compile(r"name LIKE '([^']*)'")
_NAMES: Final = """
    SELECT name FROM registered_models WHERE name LIKE ?1 AND name NOT IN (
        SELECT name FROM registered_model_tags WHERE key = 'mlflow.prompt.is_prompt' AND value = 'true')
    ORDER BY name"""
_BY_CHANGE: Final = "last_updated_timestamp DESC"
"""MLflow's order where none is asked for."""
_ORDERS: Final = {
    _BY_CHANGE: "last_updated_time DESC, name, version DESC",
    "version_number DESC": "version DESC, name",
}
_EXPERIMENTS: Final = "SELECT experiment_id FROM experiments ORDER BY creation_time DESC, experiment_id"
_RUNS: Final = "SELECT run_uuid FROM runs"
_METRICS: Final = "SELECT run_uuid, key, value, is_nan FROM latest_metrics"
_RUN_IDS: Final = re.compile(r"attributes\.run_id IN \((.*)\)")
_TEXT: Final = re.compile(r"'([^']*)'")
_Row = tuple[str, int, str, str | None, int | None]
_OF_A_WORKSPACE: Final = (
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
    "experiments",
)
_HAS_WORKSPACE: Final = "SELECT 1 FROM pragma_table_info(?) WHERE name = 'workspace'"


class TablesReader:
    """Asks the tables. Each question opens the file anew, so that it sees what others have written.

    Its methods raise MlflowAnswer if there is no such thing, and sqlite3.Error if the file cannot be read.
    """

    def __init__(self, database: Path) -> None:
        self._database = database

    def get_registered_model(self, name: str) -> ReadModel:
        """The model with this name."""
        with self._opened() as connection:
            found = _models(connection, "SELECT ?", name)
        if not found:
            raise MlflowAnswer(NOT_THERE, f"there is no registered model {name}")
        return found[0]

    def search_registered_models(
        self, filter_string: str | None = None, max_results: int = 100, *, page_token: str | None = None
    ) -> Page[ReadModel]:
        """The models whose names are like a pattern, by name; without a filter, all models. Prompts are none."""
        asked = _LIKE.fullmatch(filter_string or "name LIKE '%'")
        if asked is None:
            raise ValueError(f"this reader has no answer to {filter_string}")
        with self._opened() as connection:
            connection.execute("PRAGMA case_sensitive_like = ON")
            return _page(lambda limits: _models(connection, f"{_NAMES} {limits}", asked[1]), max_results, page_token)

    def get_model_version(self, name: str, version: str) -> ReadVersion:
        """The version of a model with this number."""
        if not version.isdecimal():
            raise MlflowAnswer(NOT_A_NAME, f"{version} is no number of a version")
        with self._opened() as connection:
            found = _versions(connection, "AND name = ? AND version = ?", name, int(version))
        if not found:
            raise MlflowAnswer(NOT_THERE, f"{name} has no version {version}")
        return found[0]

    def get_model_version_by_alias(self, name: str, alias: str) -> ReadVersion:
        """The version of a model that this alias names."""
        with self._opened() as connection:
            _require_model(connection, name)
            named = "SELECT version FROM registered_model_aliases WHERE name = ?1 AND alias = ?2"
            found = _versions(connection, f"AND name = ?1 AND version = ({named})", name, alias)
        if not found:
            raise MlflowAnswer(NOT_A_NAME, f"{name} has no alias {alias}")
        return found[0]

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 1000,
        order_by: list[str] | None = None,
        page_token: str | None = None,
    ) -> Page[ReadVersion]:
        """The versions of one model, or those of them with one value of a tag; without a filter, all versions."""
        where, values = _condition(filter_string)
        order = _ORDERS[order_by[0] if order_by else _BY_CHANGE]
        with self._opened() as connection:
            ordered = f"{where} ORDER BY {order}"
            return _page(lambda limits: _versions(connection, f"{ordered} {limits}", *values), max_results, page_token)

    def get_run(self, run_id: str) -> ReadRun:
        """The run with this id, also a deleted one."""
        with self._opened() as connection:
            found = _runs(connection, "run_uuid = ?", run_id)
        if not found:
            raise MlflowAnswer(NOT_THERE, f"there is no run {run_id}")
        return found[0]

    def search_experiments(
        self, view_type: int, max_results: int = 1000, *, page_token: str | None = None
    ) -> Page[ReadExperiment]:
        """The experiments, newest first."""
        require_all(view_type)
        with self._opened() as connection:
            return _page(lambda limits: _experiments(connection, limits), max_results, page_token)

    def search_runs(
        self, experiment_ids: list[str], filter_string: str, run_view_type: int, max_results: int = 1000
    ) -> Page[ReadRun]:
        """Those of these runs that are in these experiments, newest first."""
        require_all(run_view_type)
        asked = _RUN_IDS.fullmatch(filter_string)
        if asked is None:
            raise ValueError(f"this reader has no answer to {filter_string}")
        ids = _TEXT.findall(asked[1])
        where = f"run_uuid IN ({_marks(ids)}) AND experiment_id IN ({_marks(experiment_ids)})"
        with self._opened() as connection:
            asked_of = *ids, *experiment_ids
            return _page(lambda limits: _runs(connection, where, *asked_of, limits=limits), max_results, None)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._database, timeout=_WAIT_S)) as connection:
            _show_one_workspace(connection)
            # All answers are of one moment.
            connection.execute("BEGIN")
            yield connection


def _show_one_workspace(connection: sqlite3.Connection) -> None:
    """Let the names of tables mean the rows of MLflow's default workspace.

    MLflow 3 has the workspace first in its keys: a question that does not name it reads the whole table.
    """
    for table in _OF_A_WORKSPACE:
        if connection.execute(_HAS_WORKSPACE, (table,)).fetchone():
            rows = f"SELECT * FROM main.{table} WHERE workspace = 'default'"  # noqa: S608 - our own names
            connection.execute(f"CREATE TEMP VIEW {table} AS {rows}")


def _require_model(connection: sqlite3.Connection, name: str) -> None:
    if not connection.execute("SELECT 1 FROM registered_models WHERE name = ?", (name,)).fetchone():
        raise MlflowAnswer(NOT_THERE, f"there is no registered model {name}")


def _page(find: Callable[[str], list[T]], max_results: int, page_token: str | None) -> Page[T]:
    """What a query finds with the limits of one page; one more is asked for, to see whether there is a next one."""
    start = int(page_token or 0)
    found = find(f"LIMIT {max_results + 1} OFFSET {start}")
    page = Page(found[:max_results])
    page.token = str(start + max_results) if len(found) > max_results else None
    return page


def _condition(question: str | None) -> tuple[str, tuple[str, ...]]:
    """A filter of MLflow in the words of SQL, and its values."""
    if question is None:
        return "", ()
    asked = _QUESTION.fullmatch(question)
    if asked is None:
        raise ValueError(f"this reader has no answer to {question}")
    name, tag, value = asked.groups()
    if tag is None:
        return "AND name = ?", (name,)
    tagged = "SELECT version FROM model_version_tags WHERE name = ?1 AND key = ?2 AND value = ?3"
    return f"AND name = ?1 AND version IN ({tagged})", (name, tag, value)


def _models(connection: sqlite3.Connection, names: str, *values: str) -> list[ReadModel]:
    """The models whose names a query finds, by name."""
    these = f"WHERE name IN ({names})"
    rows = connection.execute(f"{_MODELS} {these} ORDER BY name", values)
    models = {name: ReadModel(name, changed or 0, [], {}) for name, changed in rows}
    newest = f"AND (name, version) IN ({_HIGHEST} {these} GROUP BY name, current_stage)"
    for version in _versions(connection, f"{newest} ORDER BY version", *values):
        models[version.name].latest_versions.append(version)
    for name, alias, number in connection.execute(f"{_ALIASES} {these}", values):
        models[name].aliases[alias] = str(number)
    return list(models.values())


def _experiments(connection: sqlite3.Connection, limits: str) -> list[ReadExperiment]:
    return [ReadExperiment(str(number)) for (number,) in connection.execute(f"{_EXPERIMENTS} {limits}")]


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values))


def _runs(connection: sqlite3.Connection, where: str, *values: str, limits: str = "") -> list[ReadRun]:
    """The runs that fit a condition, newest first."""
    found = connection.execute(f"{_RUNS} WHERE {where} ORDER BY start_time DESC, run_uuid {limits}", values)
    runs = {run: ReadRun(ReadInfo(run), ReadData({})) for (run,) in found}
    metrics = connection.execute(f"{_METRICS} WHERE run_uuid IN ({_marks(list(runs))})", tuple(runs))
    for run, key, value, is_nan in metrics:
        runs[run].data.metrics[key] = nan if is_nan else value
    return list(runs.values())


def _versions(connection: sqlite3.Connection, where: str, *values: str | int) -> list[ReadVersion]:
    rows: list[_Row] = connection.execute(f"{_VERSIONS} {where}", values).fetchall()
    tags: dict[tuple[str, int], dict[str, str]] = {(name, number): {} for name, number, *_ in rows}
    these = f"SELECT name, version FROM ({_VERSIONS} {where})"  # noqa: S608 - our own conditions
    for name, number, key, value in connection.execute(f"{_TAGS} WHERE (name, version) IN ({these})", values):
        tags[name, number][key] = value
    return [
        ReadVersion(name, str(number), stage, run_id, changed or 0, tags[name, number])
        for name, number, stage, run_id, changed in rows
    ]
