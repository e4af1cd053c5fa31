"""Runs all benchmarks (`make bench`), or those that are named. Exits with 1 if one breaks or a target is missed."""

import sys
import traceback
from types import ModuleType

from benchmarks import (
    dataset,
    exporter_refresh,
    many_specialists,
    policy_replay,
    retrain,
    sensor_tick,
    served_quality,
    shown,
)
from benchmarks.results import report

PARTS = (
    dataset,
    retrain,
    shown,
    sensor_tick,
    many_specialists,
    policy_replay,
    exporter_refresh,
    served_quality,
)


def run_all(parts: tuple[ModuleType, ...]) -> list[str]:
    """Run one after the other; one that breaks does not keep the others from being measured.

    Returns:
        What broke or missed a target.
    """
    wrong = []
    for part in parts:
        try:
            figures = part.run()
        except Exception:  # noqa: BLE001 - whatever it is, the other parts can be measured
            traceback.print_exc()
            wrong.append(f"{part.TITLE}: broke")
        else:
            report(part.TITLE, figures)
            wrong += [f"{part.TITLE}: {one.name}: missed" for one in figures if one.reached is False]
    return wrong


if __name__ == "__main__":
    named = sys.argv[1:] or [part.__name__.rpartition(".")[2] for part in PARTS]
    wrong = run_all(tuple(part for part in PARTS if part.__name__.rpartition(".")[2] in named))
    print("\n".join(["", *wrong]))
    sys.exit(bool(wrong))
