"""What one retraining takes: the pod of a run, by the number of its rows.

`python -m benchmarks.one_run` retrains one specialist, from plans and from stored features as in the field, with more
and more rows in the window. `make bench` leaves it out, since it takes half an hour. `docs/scale.md` has the results.
"""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient

from benchmarks.documents import NOW, WEEK, seed
from benchmarks.measuring import Figure, child, peak_memory_mb, print_table
from benchmarks.retrain import STORED_SHARE
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

ROWS: Final = (2_000, 20_000, 200_000)
SPECIALIST: Final = "technical"
_WINDOW: Final = timedelta(days=80)
"""All feedback is from these days, so that all of it is in the window of a dataset."""


@dataclass(frozen=True)
class Taken:
    """CPU time in seconds, and peak memory in MB."""

    cpu_s: float
    peak_mb: float


def run(sizes: tuple[int, ...] = ROWS) -> list[Figure]:
    """Seed and retrain once per size, each with a MongoDB of its own."""
    figures = []
    for rows in sizes:
        taken = _retrain(rows)
        figures += [
            Figure(f"{rows:,} rows: CPU time", f"{taken.cpu_s:.0f} s"),
            Figure(f"{rows:,} rows: peak memory", f"{taken.peak_mb:.0f} MB"),
        ]
    return figures


def _retrain(rows: int) -> Taken:
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name, embedded_mongod(Path(name) / "mongodb") as uri:
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            database = client[Settings.model_fields["mongodb_database"].default]
            print(f"one run: seeding {rows:,} opinions", file=sys.stderr)
            seed(database, SPECIALIST, rows, every=_WINDOW / rows, stored_fraction=STORED_SHARE)
        print("one run: retraining", file=sys.stderr)
        settings = {"MONGODB_URI": uri, "NHM_HOME": str(Path(name) / "home"), "NHM_NOW": NOW.isoformat()}
        return Taken(**child(["benchmarks.one_run", "retrain"], settings))


def _body() -> None:
    """Body of a process that is one `nhm retrain`."""
    from nhm_assets.cli import main

    try:
        main(["retrain", "--week", WEEK, "--specialist", SPECIALIST], standalone_mode=False)
    except SystemExit as end:
        if end.code:
            raise
    spent = os.times()
    cpu_s = spent.user + spent.system + spent.children_user + spent.children_system
    print(json.dumps({"cpu_s": cpu_s, "peak_mb": peak_memory_mb()}))


if __name__ == "__main__":
    if sys.argv[1:] == ["retrain"]:
        _body()
    else:
        print_table("One run by its rows", run(tuple(map(int, sys.argv[1:])) or ROWS))
