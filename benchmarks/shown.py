"""What everything that Dagster's UI shows adds to `nhm retrain`: cards, pictures, tables, observations, links.

`python -m benchmarks.shown` retrains the five specialists on the sample feedback. The functions that are there for the
UI alone are timed within the process, with what they import: CPU time of their threads, and wall time. Picture and
tables of the shadow replay belong to it, and are not among them.
"""

import importlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measuring import child, rounds
from benchmarks.results import Measured, at_most, measured, ratio, report
from resources.embedded_mongo import embedded_mongod

SHOWN = {
    "nhm_assets.evaluation.decision_card": ["decision_card"],
    "nhm_assets.evaluation.markdown": ["comparison_table", "importance_table"],
    "nhm_assets.evaluation.report_picture": ["draw_report"],
    "nhm_assets.feedback.collection_assets": ["observations", "quarantine_event"],
    "nhm_assets.feedback.column_metadata": ["shown_counts", "shown_summary"],
    "nhm_assets.feedback.label_picture": ["draw_labels"],
    "nhm_assets.feedback.seen": ["look_at"],
    "nhm_assets.promotion.argument": ["argument"],
    "nhm_assets.promotion.production_models": ["show_production"],
    "nhm_assets.steps.pictures": ["log_pictures", "markdown"],
    "nhm_assets.training.assets": ["_lineage"],
}
"""Module -> its functions whose result only a person in front of the UI reads."""
TITLE = "What the UI shows"
ROUNDS = rounds(5)
_LARGEST = 0.10


@dataclass
class Clock:
    """Adds up the time of functions. What one of them calls counts once."""

    cpu: float = 0.0
    wall: float = 0.0
    by_name: dict[str, float] = field(default_factory=dict)
    _inside: threading.local = field(default_factory=threading.local)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is added."""

        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            if getattr(self._inside, "busy", False):
                return function(*arguments, **options)
            self._inside.busy = True
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self._inside.busy = False
                cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
                self.cpu, self.wall = self.cpu + cpu, self.wall + wall
                self.by_name[name] = self.by_name.get(name, 0.0) + cpu

        return call

    def put_around(self, module: str, name: str) -> None:
        """Time this function wherever it was imported to."""
        original = getattr(importlib.import_module(module), name)
        replacement = self.timed(name, original)
        for loaded in list(sys.modules.values()):
            if getattr(loaded, name, None) is original:
                setattr(loaded, name, replacement)


def measure() -> None:
    """Body of a process: `nhm retrain`, and what of its time was spent on what is shown."""
    from nhm_assets.cli import main

    # Loads every module that a retraining needs, apart from what is imported by the functions that use it.
    importlib.import_module("nhm_assets.definitions")
    clock = Clock()
    for module, names in SHOWN.items():
        for name in names:
            clock.put_around(module, name)
    with suppress(SystemExit):
        main(["retrain"], standalone_mode=False)
    whole = {"cpu": time.process_time(), "wall": time.time() - psutil.Process().create_time()}
    print(json.dumps({**whole, "shown_cpu": clock.cpu, "shown_wall": clock.wall, "by_name": clock.by_name}))


def run() -> list[Measured]:
    """Retrain in a new home each time; the medians count."""
    found = []
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as name, embedded_mongod(Path(name) / "mongod") as uri:
        for number in range(ROUNDS):
            print(f"shown: round {number + 1} of {ROUNDS}", file=sys.stderr)
            home = Path(name) / str(number)
            environment = {"MONGODB_URI": uri, "MONGODB_DATABASE": f"shown_{number}", "NHM_HOME": str(home)}
            # The process that measures must do the work itself.
            environment["RETRAIN_PROCESSES"] = "1"
            child(["benchmarks.shown", "seed"], environment)
            found.append(child(["benchmarks.shown", "measure"], environment))
    print("shown: seconds of CPU time of each", json.dumps(found[-1]["by_name"], indent=2), file=sys.stderr)
    cpu, wall = (
        [one[f"shown_{what}"] / (one[what] - one[f"shown_{what}"]) for one in found] for what in ("cpu", "wall")
    )
    return [
        measured("CPU time of nhm retrain, five specialists", [one["cpu"] for one in found]),
        measured("of that, for what the UI shows", [one["shown_cpu"] for one in found], digits=2),
        at_most("CPU time of what the UI shows : of the rest", cpu, _LARGEST, digits=3),
        ratio("the same in wall time", wall),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seed"]:
            from nhm_assets.cli import main

            main(["seed"], standalone_mode=False)
            print(json.dumps({}))
        case ["measure"]:
            measure()
        case _:
            report(TITLE, run())
