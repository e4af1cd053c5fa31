"""Runs of MLflow: one by its id, and many of them with one request."""

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

from resources.mlflow_errors import NOT_A_NAME, if_there
from resources.mlflow_reader import ALL, every

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from resources.mlflow_reader import MlflowReader

_ID: Final = re.compile(r"[\w-]+", re.ASCII)
_AT_ONCE: Final = 200
"""Runs per request."""


def run_state(client: "MlflowClient", run_id: str) -> str | None:
    """`active`, or `deleted` if somebody has deleted the run in MLflow; None if it is gone for good (`mlflow gc`)."""
    run = run_if_any(client, run_id)
    return str(run.info.lifecycle_stage) if run else None


def run_if_any(client: "MlflowClient | MlflowReader", run_id: str) -> "Run | None":
    """The run with this id; None if it is gone for good (`mlflow gc`), or if none can have this id."""
    return if_there(lambda: client.get_run(run_id), NOT_A_NAME)


def runs_there(client: "MlflowClient | MlflowReader", run_ids: Collection[str]) -> "dict[str, Run]":
    """Id -> run, also of deleted ones; without those that are gone for good (`mlflow gc`)."""
    # What others registered can name anything as its run.
    ids = sorted({one for one in run_ids if _ID.fullmatch(one)})
    found = {run.info.run_id: run for run in _found(client, ids)} if ids else {}
    for missed in {*run_ids} - {*found}:
        run = run_if_any(client, missed)
        if run is not None:
            found[missed] = run
    return found


def _found(client: "MlflowClient | MlflowReader", ids: list[str]) -> "Iterator[Run]":
    experiments = [one.experiment_id for one in every(lambda token: client.search_experiments(ALL, page_token=token))]
    for start in range(0, len(ids), _AT_ONCE):
        named = ", ".join(f"'{one}'" for one in ids[start : start + _AT_ONCE])
        yield from client.search_runs(experiments, f"attributes.run_id IN ({named})", ALL, _AT_ONCE)
