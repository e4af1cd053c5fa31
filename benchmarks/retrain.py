"""`nhm retrain` for five specialists with 2,000 rows each, against the same work in a bare script, and without folds.

One specialist alone, and all on a disk whose fsync takes 20 ms, are measured against the bare script, too.

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
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymongo import MongoClient

from benchmarks.documents import NAMES, NOW, WEEK, seed
from benchmarks.measuring import PROJECT, clean_environment, rounds
from benchmarks.results import Measured, at_most, measured, ratio, report
from benchmarks.slow_disk import slow_disk
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

_ONE = "technical"
_SHARED_IMPORTS = "import mlflow, pandas, pymongo"


@dataclass(frozen=True)
class Way:
    """One way to retrain.

    Attributes:
        command: of the process.
        settings: its environment, besides what all have.
        of_one: whether it retrains a single specialist.
    """

    command: list[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    of_one: bool = False


def _ways(folder: Path) -> dict[str, Way]:
    nhm = [sys.executable, "-c", "from nhm_assets.cli import main; main()", "retrain", "--week", WEEK]
    bare = [sys.executable, "-m", "benchmarks.bare_retrain", WEEK]
    ways = {
        "bare": Way(bare),
        "nhm": Way(nhm),
        "without folds": Way(nhm, {"GATE_FOLDS": "0"}),
        "bare, one": Way([*bare, _ONE], of_one=True),
        "nhm, one": Way([*nhm, "--specialist", _ONE], of_one=True),
    }
    if disk := slow_disk(folder):
        ways |= {"bare, slow disk": Way(bare, disk), "nhm, slow disk": Way(nhm, disk)}
    if importlib.util.find_spec("kedro"):
        ways["kedro"] = Way([sys.executable, "-m", "benchmarks.kedro_retrain", WEEK])
    return ways


@dataclass(frozen=True)
class Spent:
    """What a process took: wall time, and CPU time in user and system mode, in seconds."""

    wall: float
    cpu: float


def run() -> list[Measured]:
    """Seed the database, then run all in turns."""
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name, embedded_mongod(Path(name) / "mongodb") as uri:
        folder = Path(name)
        ways, migrated = _ways(folder), folder / "mlflow"
        found: dict[str, list[Spent]] = {name: [] for name in ways}
        with Mlflow(uri=None, home=migrated, timeout_s=10).client():
            pass
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            database = client[Settings.model_fields["mongodb_database"].default]
            print(f"retrain: seeding {len(all_specialists())} x {ROWS:,} opinions", file=sys.stderr)
            for specialist in all_specialists():
                seed(database, specialist, ROWS, every=EVERY, stored_fraction=STORED_SHARE)
            for number in range(1, ROUNDS + 1):
                promoted: dict[str, Any] = {}
                for kind, way in ways.items():
                    print(f"retrain: round {number} of {ROUNDS}, {kind}", file=sys.stderr)
                    _reset(database)
                    found[kind].append(_retrain(way, folder / f"{kind}-{number}", migrated, uri))
                    promoted[kind] = _promoted(database, 1 if way.of_one else len(all_specialists()))
                    right = {name: promoted["bare"][name] for name in promoted[kind]}
                    assert promoted[kind] == right, f"{kind} is not what the bare script does: {promoted}"
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
        at_most("nhm retrain : bare script", wall["nhm"] / wall["bare"], 1.0),
        ratio("nhm retrain : bare script less the import of Dagster", wall["nhm"] / floor),
        at_most("nhm retrain : without the gate's folds", wall["nhm"] / wall["without folds"], 1.15),
        at_most("nhm retrain --specialist : bare script of one", wall["nhm, one"] / wall["bare, one"], 1.3),
        *(_slow_disk(wall) if "nhm, slow disk" in wall else []),
        ratio("CPU time of nhm retrain : without folds", cpu["nhm"] / cpu["without folds"]),
        ratio("CPU time of nhm retrain : of bare script", cpu["nhm"] / cpu["bare"]),
        *(_kedro(wall) if "kedro" in wall else []),
    ]


def _slow_disk(wall: Mapping[str, np.ndarray]) -> list[Measured]:
    return [
        measured("nhm retrain, fsync takes 20 ms", wall["nhm, slow disk"]),
        at_most("nhm retrain : bare script, fsync takes 20 ms", wall["nhm, slow disk"] / wall["bare, slow disk"], 1.5),
    ]


def _kedro(wall: Mapping[str, np.ndarray]) -> list[Measured]:
    return [
        measured("the bare script by Kedro's runner", wall["kedro"]),
        ratio("Kedro's runner : bare script", wall["kedro"] / wall["bare"]),
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


def _retrain(way: Way, home: Path, migrated: Path, mongodb: str) -> Spent:
    shutil.copytree(migrated, home / "mlflow")
    settings = {"MONGODB_URI": mongodb, "NHM_HOME": str(home), "NHM_NOW": NOW.isoformat(), **way.settings}
    spent = _spend(way.command, settings)
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


def _promoted(database: "Database[dict[str, Any]]", count: int) -> dict[str, dict[str, float]]:
    """Model -> metrics of its promoted version. All must be promoted: else a run did not do all of the work."""
    entries = database["model_audit_log"].find({"kind": "promoted"})
    promoted: dict[str, dict[str, float]] = {entry["model"]: entry["metrics"] for entry in entries}
    assert len(promoted) == count, f"only {promoted.keys()} were promoted"
    return promoted


if __name__ == "__main__":
    report(TITLE, run())
