"""Runs all benchmarks (`make bench`). Exits with 1 if a target is missed."""

import sys

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
from benchmarks.measuring import print_table

if __name__ == "__main__":
    tables = {
        "Building a dataset": dataset.run(),
        "Retraining five specialists": retrain.run(),
        "What the UI shows": shown.run(),
        "A tick of feedback_volume_sensor": sensor_tick.run(),
        "Five hundred specialists": many_specialists.run(),
        "Replaying the gate": policy_replay.run(),
        "A refresh of the exporter": exporter_refresh.run(),
        "A week of served_quality": served_quality.run(),
    }
    for title, figures in tables.items():
        print_table(title, figures)
    sys.exit(any(figure.reached is False for figures in tables.values() for figure in figures))
