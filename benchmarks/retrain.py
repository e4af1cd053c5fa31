"""`nhm retrain` for five specialists with 2,000 rows each, against the same work in a bare script, and without folds.

`python -m benchmarks.retrain` seeds a mongod and runs all in turns, each as a whole process. Each run gets a new copy
of a migrated MLflow database, empty folders, and the same documents. All must promote versions with the same metrics.
A second counterpart is the bare script as a pipeline of Kedro. It takes part if the extra `bench` is installed.
"""

import importlib.util
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymongo import MongoClient

from benchmarks.documents import NAMES, NOW, WEEK, seed
from benchmarks.measuring import PROJECT, clean_environment, rounds
from benchmarks.results import Measured, at_most, measured, ratio, report
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod
from resources.mlflow import Mlflow

if TYPE_CHECKING:
    from pymongo.database import Database

TITLE = "Retraining five specialists"
ROWS = 2_000
EVERY = timedelta(minutes=20)
STORED_SHARE = 0.4
"""Fraction of plans with stored features, about as in the field."""
ROUNDS = rounds(5)

_NHM = [sys.executable, "-c", "from nhm_assets.cli import main; main()", "retrain", "--week", WEEK]
COMMANDS = {
    "bare": [sys.executable, "-m", "benchmarks.bare_retrain", WEEK],
    "nhm": _NHM,
    "without folds": _NHM,
}
if importlib.util.find_spec("kedro"):
    COMMANDS["kedro"] = [sys.executable, "-m", "benchmarks.kedro_retrain", WEEK]
_SETTINGS = {"without folds": {"GATE_FOLDS": "0"}}
_SHARED_IMPORTS = "import mlflow, pandas, pymongo"


@dataclass(frozen=True)
class Spent:
    """What a process took: wall time, and CPU time in user and system mode, in seconds."""

    wall: float
    cpu: float


def run() -> list[Measured]:
    """Seed the database, then run all in turns."""
    found: dict[str, list[Spent]] = {name: [] for name in COMMANDS}
    promoted: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name, embedded_mongod(Path(name) / "mongodb") as uri:
        folder = Path(name)
        migrated = folder / "mlflow"
        with Mlflow(uri=None, home=migrated, timeout_s=10).client():
            pass
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            database = client[Settings.model_fields["mongodb_database"].default]
            print(f"retrain: seeding {len(all_specialists())} x {ROWS:,} opinions", file=sys.stderr)
            for specialist in all_specialists():
                seed(database, specialist, ROWS, every=EVERY, stored_fraction=STORED_SHARE)
            for number in range(1, ROUNDS + 1):
                for kind, command in COMMANDS.items():
                    print(f"retrain: round {number} of {ROUNDS}, {kind}", file=sys.stderr)
                    _reset(database)
                    settings = {"MONGODB_URI": uri} | _SETTINGS.get(kind, {})
                    found[kind].append(_retrain(command, folder / f"{kind}-{number}", migrated, settings))
                    promoted[kind] = _promoted(database)
                    assert promoted[kind] == promoted["bare"], f"{kind} is not what the bare script does: {promoted}"
    return _figures(found)


def _figures(found: Mapping[str, list[Spent]]) -> list[Measured]:
    wall, cpu = (
        {kind: np.array([getattr(one, what) for one in runs]) for kind, runs in found.items()}
        for what in ("wall", "cpu")
    )
    imported = _import_of_dagster()
    floor = wall["bare"] - statistics.median(imported)
    return [
        measured("nhm retrain", wall["nhm"]),
        measured("bare script", wall["bare"]),
        measured("of that, importing Dagster by way of our modules", imported),
        ratio("nhm retrain : bare script as it stands", wall["nhm"] / wall["bare"]),
        at_most("nhm retrain : bare script less the import of Dagster", wall["nhm"] / floor, 1.8),
        at_most("nhm retrain : without the gate's folds", wall["nhm"] / wall["without folds"], 1.15),
        ratio("CPU time of nhm retrain : without folds", cpu["nhm"] / cpu["without folds"]),
        ratio("CPU time of nhm retrain : of bare script", cpu["nhm"] / cpu["bare"]),
        *(_kedro(wall) if "kedro" in wall else []),
    ]


def _kedro(wall: Mapping[str, np.ndarray]) -> list[Measured]:
    return [
        measured("the bare script by Kedro's runner", wall["kedro"]),
        ratio("Kedro's runner : bare script as it stands", wall["kedro"] / wall["bare"]),
        ratio("nhm retrain : Kedro's runner", wall["nhm"] / wall["kedro"]),
    ]


def _import_of_dagster() -> list[float]:
    """Seconds per round that the bare script spends importing Dagster. It never uses it, but `Partition` needs it."""
    asked = "import sys, benchmarks.bare_retrain; sys.exit('dagster' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", asked], cwd=PROJECT, env=clean_environment(), check=False)
    if not found.returncode:
        return [0.0]
    pairs = [
        [_spend([sys.executable, "-c", f"{_SHARED_IMPORTS}{more}"], {}).wall for more in ("", ", dagster")]
        for _ in range(ROUNDS)
    ]
    return [max(0.0, longer - shorter) for shorter, longer in pairs]


def _reset(database: "Database[dict[str, Any]]") -> None:
    """Remove what a run adds to MongoDB."""
    database[NAMES.features].delete_many({"extractor": {"$exists": True}})
    for collection in ("model_audit_log", "feedback_quarantine"):
        database[collection].delete_many({})


def _retrain(command: list[str], home: Path, migrated: Path, settings: Mapping[str, str]) -> Spent:
    shutil.copytree(migrated, home / "mlflow")
    spent = _spend(command, {"NHM_HOME": str(home), "NHM_NOW": NOW.isoformat(), **settings})
    shutil.rmtree(home)
    return spent


def _spend(command: list[str], environment: Mapping[str, str]) -> Spent:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=PROJECT,
        env=clean_environment() | environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _promoted(database: "Database[dict[str, Any]]") -> dict[str, dict[str, float]]:
    """Model -> metrics of its promoted version. All must be promoted: else a run did not do all of the work."""
    entries = database["model_audit_log"].find({"kind": "promoted"})
    promoted: dict[str, dict[str, float]] = {entry["model"]: entry["metrics"] for entry in entries}
    assert len(promoted) == len(all_specialists()), f"only {promoted.keys()} were promoted"
    return promoted


if __name__ == "__main__":
    report(TITLE, run())
