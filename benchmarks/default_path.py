"""What the default path costs since there are families: a retraining of the forest, in turns with the code before.

`python -m benchmarks.default_path [COMMIT]` retrains one specialist with 2,000 rows by this code and by that of a
commit (by default, the last one before families), which needs the repository's history. Both keep a home and a database
of their own, and find the same documents; the first retraining of each is not counted. It prints the CPU time of both
and their ratio, as a median and the range of the rounds. BENCH_ROUNDS sets the number of rounds.
"""

import resource
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from pymongo import MongoClient

from benchmarks.documents import NOW, WEEK, seed
from benchmarks.measuring import PROJECT, clean_environment, rounds
from benchmarks.trees import tree_of
from resources.embedded_mongo import embedded_mongod

BEFORE: Final = "910c79abd203973ea3f4ec460700b27e226f7479"
"""The last commit that knows the forest alone."""
SPECIALIST: Final = "technical"
ROWS: Final = 2_000
_WINDOW: Final = timedelta(days=30)
_NHM: Final = "from nhm_assets.cli import main; main()"


def run(commit: str) -> list[float]:
    """CPU seconds of this code divided by those of the commit's, round by round."""
    with (
        tempfile.TemporaryDirectory(prefix="nhm-bench-") as name,
        embedded_mongod(Path(name) / "mongodb") as uri,
    ):
        trees = {"now": PROJECT, "before": tree_of(commit, Path(name) / "before")}
        for tree in trees:
            with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
                seed(client[f"bench_{tree}"], SPECIALIST, ROWS, every=_WINDOW / ROWS, stored_fraction=0.5)
            _retrain(trees[tree], tree, uri, Path(name))
        ratios = []
        for number in range(rounds(7)):
            order = list(trees) if number % 2 else list(reversed(trees))
            took = {tree: _retrain(trees[tree], tree, uri, Path(name)) for tree in order}
            ratios.append(took["now"] / took["before"])
            print(f"  now {took['now']:.1f} s, before {took['before']:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
        return ratios


def _retrain(tree: Path, name: str, uri: str, folder: Path) -> float:
    """CPU seconds of a retraining by the code in this folder, and of the processes that it starts."""
    settings = {
        "MONGODB_URI": uri,
        "MONGODB_DATABASE": f"bench_{name}",
        "NHM_HOME": str(folder / f"home-{name}"),
        "NHM_NOW": NOW.isoformat(),
        "FORCE_RETRAIN": "true",
        "PYTHONPATH": str(tree),
    }
    command = [sys.executable, "-c", _NHM, "retrain", "--week", WEEK, "--specialist", SPECIALIST]
    before = _children_s()
    done = subprocess.run(
        command, cwd=tree, env=clean_environment() | settings, capture_output=True, text=True, check=False
    )
    took = _children_s() - before
    assert done.returncode == 0, done.stdout + done.stderr
    return took


def _children_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    found = sorted(run(*(sys.argv[1:] or [BEFORE])))
    print(f"ratio {median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f}, {len(found)} rounds)")
