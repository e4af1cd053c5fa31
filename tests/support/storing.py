"""Values that real materializations of a partition store and load through an I/O manager."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dagster import DagsterInstance, ExecuteInProcessResult, IOManager, asset, materialize
from pydantic import BaseModel, ConfigDict

from nhm_assets.domain.partitions import Partition
from nhm_assets.steps.partitions import specialist_weeks
from resources.storage import FrameIOManager, RecordIOManager
from tests.support.dagster_internals import DagsterUserCodeExecutionError
from tests.support.documents import WEEK
from tests.support.platform import QUIET

ASSET = "kept"


class Note(BaseModel):
    """A record to store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    score: float
    champion: str | None = None


NOTE = Note(text="Grüße ☃", score=0.1 + 0.2)


def frame(rows: int = 4, seed: int = 1) -> pd.DataFrame:
    """A frame with a column of every type that the platform stores."""
    rng = np.random.default_rng(seed)
    stored = pd.DataFrame(
        {
            "feedback_id": [f"feedback-{number}" for number in range(rows)],
            "submitted_at": pd.date_range("2026-03-01", periods=rows, freq="7h", tz="UTC"),
            "human_rating": rng.random(rows),
            "label": rng.integers(0, 3, rows),
            "mean_norm": [float("nan")] * rows,
        }
    )
    stored.attrs = {"window": ["2026-02-06", "2026-03-08"], "quarantined": {"missing_plan": 2}}
    return stored


def file_in(storage: Path, extension: str, specialist: str = "technical") -> Path:
    """The file that counts for the value of a partition."""
    manager = {".parquet": FrameIOManager, ".json": RecordIOManager}[extension](str(storage))
    return Path(str(manager.file_of(ASSET, specialist, WEEK)))


def keep(manager: IOManager, value: Any, specialist: str = "technical") -> ExecuteInProcessResult:
    """Materialize one partition of an asset with this value."""

    @asset(name=ASSET, partitions_def=specialist_weeks, io_manager_key="manager")
    def producer():
        return value

    return _run(producer, manager, specialist)


def fetch(manager: IOManager, kind: type, specialist: str = "technical") -> Any:
    """The value that a dependent asset receives when its signature names this type."""
    seen = []

    @asset(name=ASSET, partitions_def=specialist_weeks, io_manager_key="manager")
    def producer(): ...

    @asset(partitions_def=specialist_weeks)
    def consumer(kept: kind) -> None:
        seen.append(kept)

    _run(consumer, manager, specialist, source=producer)
    return seen[0]


def _run(target: Any, manager: IOManager, specialist: str, source: Any = None) -> ExecuteInProcessResult:
    with DagsterInstance.ephemeral(settings={"telemetry": {"enabled": False}}) as instance:
        try:
            return materialize(
                [target, source] if source else [target],
                selection=[target],
                partition_key=Partition.parse(WEEK, specialist).key,
                resources={"manager": manager},
                instance=instance,
                run_config=QUIET,
            )
        except DagsterUserCodeExecutionError as error:
            raise error.user_exception from error
