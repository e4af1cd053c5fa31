"""Building a dataset: speed compared with a query-per-document collector and with reading alone, growth, and memory.

`python -m benchmarks.dataset` starts a real mongod, fills it and measures. Compared builds take turns in one process
after a warm-up, and the figures are medians over the rounds. Memory is measured in processes that build one dataset
and nothing else.
"""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.dataset_floor import drain, queries_of
from benchmarks.documents import NAMES, NOW, WEEK, seed, window_of
from benchmarks.measuring import child, peak_memory_mb, rounds
from benchmarks.results import Measured, at_least, at_most, measured, report
from nhm_assets.domain.dataset_schema import FEATURE_NAMES, data_version
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.dataset_builder import WindowRead, assemble, describe, read_window
from nhm_assets.feedback.quarantine import reason_counts
from nhm_assets.feedback.reader import CollectionNames, Reader
from nhm_assets.feedback.stored_features import ensure_index, write_back
from nhm_assets.resource_factories import mongo_of
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod
from resources.mongo import Mongo, read_consistently
from resources.storage import FrameIOManager

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]

TITLE = "Building a dataset"
ROWS = 20_000
SMALL, LARGE = 5_000, 80_000
SAMPLE = 1_000
"""Rows for timing the naive collector: its cost per row does not depend on their number."""
ROUNDS = rounds(5)
WARM_UP = 500
COMPARED = 1_000

SPECIALIST = "technical"
DAYS = 7
EVERY = timedelta(days=DAYS) / ROWS

SELECTION = Settings().selection
"""Loaded once, as in a run: to load the settings takes longer than to read a thousand rows."""

STORED = NAMES
FROM_PLANS = replace(NAMES, features="no_features")
WRITTEN_BACK = replace(NAMES, features="written_features")


def ours(database: "Database[Document]", names: CollectionNames, window: Window) -> pd.DataFrame:
    """What `feedback_dataset` does, without Dagster and without the write-back."""
    frame, _ = _build(database, names, window)
    return frame


def ours_written_back(database: "Database[Document]", names: CollectionNames, window: Window) -> pd.DataFrame:
    """The same, with the computed features written to MongoDB."""
    frame, result = _build(database, names, window)
    written = write_back(database[names.features], result.computed, NOW)
    assert written == len(frame)
    return frame


def counterpart(database: "Database[Document]", names: CollectionNames, window: Window) -> pd.DataFrame:
    """The query-per-document collector."""
    from benchmarks.naive_collector import collect

    return collect(database, names, SPECIALIST, window)


KINDS: dict[str, tuple[Callable[..., pd.DataFrame], CollectionNames]] = {
    "counterpart": (counterpart, FROM_PLANS),
    "plans": (ours, FROM_PLANS),
    "written": (ours_written_back, WRITTEN_BACK),
    "stored": (ours, STORED),
}

FLOORS = {"floor-plans": "plans", "floor-stored": "stored"}
"""A floor -> the build whose answers are only read."""


def _build(database: "Database[Document]", names: CollectionNames, window: Window) -> tuple[pd.DataFrame, WindowRead]:
    """Build everything from documents to the bytes of a Parquet file and the digest."""
    partition = Partition.parse(WEEK, SPECIALIST)

    def read(session) -> WindowRead:
        return read_window(Reader(database, names, SPECIALIST, session), window, SELECTION)

    result, _ = read_consistently(database, read)
    frame = assemble(result, partition, window, min_samples=1, synthetic_fallback=False)
    frame.attrs = describe(frame, result, reason_counts(result.quarantine), window)
    assert data_version(frame)
    assert FrameIOManager("unused").to_bytes(frame)
    return frame, result


def take_turns(*builds: tuple[str, int]) -> None:
    """Body of a measuring process: seconds per row of these builds, for each round, after a warm-up.

    They take turns in one process, so that other load on the machine slows down all of them equally.
    """
    with _mongo().database() as database:
        for kind in KINDS:
            _timed(database, kind, WARM_UP)
        # As in `nhm retrain`: the garbage collector does not scan imported modules again and again.
        gc.collect()
        gc.freeze()
        found = [[_timed(database, kind, rows) / rows for kind, rows in builds] for _ in range(ROUNDS)]
    print(json.dumps(found))


def _timed(database: "Database[Document]", kind: str, rows: int) -> float:
    if kind in FLOORS:
        return _drained(database, FLOORS[kind], rows)
    build, names = KINDS[kind]
    database[WRITTEN_BACK.features].delete_many({})
    window = window_of(rows, EVERY)
    started = time.perf_counter()
    frame = build(database, names, window)
    seconds = time.perf_counter() - started
    assert len(frame) == rows
    return seconds


def _drained(database: "Database[Document]", kind: str, rows: int) -> float:
    queries = _queries(database.name, kind, rows)
    started = time.perf_counter()
    size = drain(database, queries)
    seconds = time.perf_counter() - started
    assert size > rows * 1000
    return seconds


@lru_cache
def _queries(name: str, kind: str, rows: int) -> list[Document]:
    build, names = KINDS[kind]
    uri = Settings.load().mongodb_uri
    assert uri is not None
    return queries_of(uri.get_secret_value(), name, lambda database: build(database, names, window_of(rows, EVERY)))


def peak(kind: str, rows: int) -> None:
    """Body of a process that builds one dataset and nothing else: its peak memory."""
    with _mongo().database() as database:
        _timed(database, kind, rows)
    print(json.dumps(peak_memory_mb()))


def peak_of_asset() -> None:
    """Body of a process that materializes the asset with the same rows: its peak memory, including Dagster."""
    from dagster import DagsterInstance

    from nhm_assets.definitions import build_definitions
    from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
    from nhm_assets.domain.dagster_names import JOB

    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder, DagsterInstance.local_temp(folder) as instance:
        changes = {
            "nhm_home": Path(folder),
            "nhm_now": NOW,
            "feedback_window_days": DAYS,
            "features_collection": WRITTEN_BACK.features,
        }
        job = build_definitions(Settings.load().model_copy(update=changes)).resolve_job_def(JOB)
        result = job.execute_in_process(
            partition_key=Partition.parse(WEEK, SPECIALIST).key,
            instance=instance,
            asset_selection=[FEEDBACK_DATASET],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        assert len(result.asset_value(FEEDBACK_DATASET)) == ROWS
    print(json.dumps(peak_memory_mb()))


def compare() -> None:
    """Body of a process: check that both give the same rows, from plans and from stored features."""
    window = window_of(COMPARED, EVERY)
    with _mongo().database() as database:
        for names in (FROM_PLANS, STORED):
            own, naive = ours(database, names, window), counterpart(database, names, window)
            described = [name for name in own.columns if name not in FEATURE_NAMES]
            assert len(own) == COMPARED
            assert (own[described] == naive[described]).all(axis=None)
            features = [frame[list(FEATURE_NAMES)].to_numpy() for frame in (own, naive)]
            np.testing.assert_allclose(*features, rtol=1e-12, atol=1e-9, equal_nan=True)
    print(json.dumps({"compared": COMPARED}))


def _mongo() -> Mongo:
    return mongo_of(Settings.load())


def run() -> list[Measured]:
    """Seed, compare, measure."""
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder, embedded_mongod(Path(folder)) as uri:

        def asked(doing: str, *arguments: object) -> Any:
            print(f"dataset: {doing}", file=sys.stderr)
            return child(["benchmarks.dataset", *map(str, arguments)], {"MONGODB_URI": uri})

        asked(f"seeding {LARGE:,} opinions", "seed")
        asked("comparing the rows", "compare")
        builds = ("counterpart", SAMPLE, "plans", ROWS, "written", ROWS, "stored", ROWS)
        speed = asked("speed", "turns", *builds, "floor-plans", ROWS, "floor-stored", ROWS)
        growth = asked("growth", "turns", "plans", SMALL, "plans", LARGE)
        memory = max(asked("memory", "peak", kind, ROWS) for kind in ("plans", "written", "stored"))
        in_dagster = asked("memory in Dagster", "asset")
    return [
        *_speed(np.array(speed)),
        *_growth(np.array(growth)),
        at_most(f"peak memory of building {ROWS:,} rows", memory, 400, "MB", 0),
        at_most("the same as an asset in Dagster", in_dagster, 400, "MB", 0),
    ]


def _speed(seconds: np.ndarray) -> list[Measured]:
    seconds, floors = seconds[:, :4], seconds[:, 4:]
    # Rows per second of ours, as a part of those of reading alone.
    of_floors = (floors / seconds[:, [1, 3]]).T
    faster = (seconds[:, :1] / seconds[:, 1:]).T
    names = "ours from plans", "ours from plans, features written back", "ours from stored features"
    rates = {
        "naive collector: a query per document, networkx, from plans": seconds[:, 0],
        **dict(zip(names, seconds[:, 1:].T, strict=True)),
        "reading alone, for plans": floors[:, 0],
        "reading alone, for stored features": floors[:, 1],
    }
    return [
        *(measured(name, 1 / of_it, "rows/s", 0) for name, of_it in rates.items()),
        at_least("rows/s from plans : reading alone", of_floors[0], 0.8),
        at_least("rows/s from stored features : reading alone", of_floors[1], 0.8),
        at_least("rows/s from plans : naive collector", faster[0], 18),
        at_least("rows/s from plans, features written back : naive collector", faster[1], 4),
        at_least("rows/s from stored features : naive collector", faster[2], 32),
    ]


def _growth(seconds: np.ndarray) -> list[Measured]:
    return [at_most(f"time per row at {LARGE:,} rows : at {SMALL:,}", seconds[:, 1] / seconds[:, 0], 1.3)]


def _seed() -> None:
    with _mongo().database() as database:
        seed(database, SPECIALIST, LARGE, every=EVERY, stored_fraction=1.0)
        for names in (FROM_PLANS, WRITTEN_BACK):
            ensure_index(database[names.features])
    print(json.dumps({"seeded": LARGE}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seed"]:
            _seed()
        case ["compare"]:
            compare()
        case ["turns", *builds]:
            take_turns(*zip(builds[::2], map(int, builds[1::2]), strict=True))
        case ["peak", kind, rows]:
            peak(kind, int(rows))
        case ["asset"]:
            peak_of_asset()
        case _:
            report(TITLE, run())
