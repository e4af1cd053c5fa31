"""What one retraining takes: the pod of a run, by the number of its rows.

`python -m benchmarks.one_run` retrains one specialist, from plans and from stored features as in the field, with more
and more rows in the window. `make bench` leaves it out, since it takes half an hour. `docs/scale.md` has the results.
"""

import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from pymongo import MongoClient

from benchmarks.documents import NOW, WEEK, seed
from benchmarks.measuring import child, peak_memory_mb
from benchmarks.results import ONE_RUN, Measured, measured, report
from benchmarks.retrain import STORED_SHARE
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

ROWS: Final = (2_000, 20_000, 200_000, 1_000_000)
SPECIALIST: Final = "technical"
_WINDOW: Final = timedelta(days=80)
"""All feedback is from these days, so that all of it is in the window of a dataset."""


@dataclass(frozen=True)
class Taken:
    """CPU time and wall time in seconds, and peak memory in MB."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def run(rows: int) -> list[Measured]:
    """Seed and retrain once, with a MongoDB of its own."""
    taken = _retrain(rows)
    return [
        measured("CPU time", taken.cpu_s, "s", 0),
        measured("wall time", taken.wall_s, "s", 0),
        measured("peak memory", taken.peak_mb, "MB", 0),
    ]


def _retrain(rows: int) -> Taken:
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name, embedded_mongod(Path(name) / "mongodb") as uri:
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            database = client[Settings.model_fields["mongodb_database"].default]
            print(f"one run: seeding {rows:,} opinions", file=sys.stderr)
            seed(database, SPECIALIST, rows, every=_WINDOW / rows, stored_fraction=STORED_SHARE)
        print("one run: retraining", file=sys.stderr)
        settings = {
            "MONGODB_URI": uri,
            "NHM_HOME": str(Path(name) / "home"),
            "NHM_NOW": NOW.isoformat(),
            "FEEDBACK_WINDOW_DAYS": str(_WINDOW.days),
        }
        results = Path(name) / "results.json"
        taken = Taken(**child(["benchmarks.one_run", "retrain", str(results)], settings))
        (result,) = json.loads(results.read_text())
        assert result["dataset"]["rows"] == rows, f"the window holds {result['dataset']['rows']} rows"
        return taken


def _body(results: str) -> None:
    """Body of a process that is one `nhm retrain`, which writes its results to this file."""
    from nhm_assets.cli import main

    try:
        main(["retrain", "--week", WEEK, "--specialist", SPECIALIST, "--report", results], standalone_mode=False)
    except SystemExit as end:
        if end.code:
            raise
    spent, wall_s = os.times(), time.time() - psutil.Process().create_time()
    cpu_s = spent.user + spent.system + spent.children_user + spent.children_system
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": peak_memory_mb()}))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["retrain", results]:
            _body(results)
        case numbers:
            for rows in tuple(map(int, numbers)) or ROWS:
                report(ONE_RUN.format(rows=rows), run(rows))
