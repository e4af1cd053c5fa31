"""One evaluation of `feedback_volume_sensor`: at a million feedback documents against ten thousand.

`python -m benchmarks.sensor_tick` seeds a real mongod of its own and measures. Both databases hold the same new
documents since the end of each specialist's last dataset; they differ in what is old. The evaluations take turns in
one process, after a warm-up, and the median of the rounds counts.
"""

import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.documents import NOW
from benchmarks.measuring import child, rounds
from benchmarks.results import Measured, at_most, measured, report
from nhm_assets.demo.load import make_indexes
from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.resource_factories import mongo_of
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

Document = dict[str, Any]

TITLE = "A tick of feedback_volume_sensor"
SMALL, LARGE = 10_000, 1_000_000
NEW = 90
"""Of each specialist: fewer than what a retraining needs, so that every evaluation does the same."""
ROUNDS = rounds(30)
WARM_UP = 5
_NEW_SINCE = NOW - timedelta(days=2)
_OLD_SINCE = NOW - timedelta(days=700)
_BATCH = 10_000


def _settings(count: int) -> Settings:
    return Settings.load().model_copy(update={"mongodb_database": f"feedback_{count}", "nhm_now": NOW})


def seed() -> None:
    """Body of a process that writes both databases."""
    for count in (SMALL, LARGE):
        with mongo_of(_settings(count)).database() as database:
            make_indexes(database, _settings(count))
            drawn = _documents(count)
            while batch := list(islice(drawn, _BATCH)):
                database["specialist_feedback"].insert_many(batch, ordered=False)
    print(json.dumps({"seeded": SMALL + LARGE}))


def _documents(count: int) -> Iterator[Document]:
    """Every other time is a string. The new ones come last."""
    new = NEW * len(all_specialists())
    old = count - new
    for number in range(old):
        yield _feedback(number, _OLD_SINCE + (_NEW_SINCE - _OLD_SINCE) * (number / old))
    for number in range(new):
        yield _feedback(number, _NEW_SINCE + (NOW - _NEW_SINCE) * (number / new))


def _feedback(number: int, moment: datetime) -> Document:
    return {
        "feedback_id": f"feedback-{moment:%y%m%d}-{number:07d}",
        "opinion_id": f"opinion-{number:07d}",
        "plan_id": f"plan-{number:07d}",
        "specialist_type": all_specialists()[number % len(all_specialists())],
        "human_rating": 0.8,
        "human_recommendation": "approve",
        "submitted_at": moment if number // len(all_specialists()) % 2 else moment.isoformat(),
    }


def measure() -> None:
    """Body of the measuring process: seconds of an evaluation at either number of documents, round by round."""
    from dagster import AssetMaterialization, DagsterInstance

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder, DagsterInstance.local_temp(folder) as instance:
        for name in all_specialists():
            key = Partition(running_week(NOW), Specialist(name)).key
            window = {"window": [_OLD_SINCE.isoformat(), _NEW_SINCE.isoformat()]}
            instance.report_runless_asset_event(
                AssetMaterialization("feedback_dataset", partition=key, metadata=window)
            )
        for _ in range(WARM_UP):
            _evaluated(instance, SMALL), _evaluated(instance, LARGE)
        found = [[_evaluated(instance, SMALL), _evaluated(instance, LARGE)] for _ in range(ROUNDS)]
    print(json.dumps(found))


def _evaluated(instance: Any, count: int) -> float:
    from dagster import build_sensor_context

    from sensors.feedback_volume import feedback_volume_sensor

    settings = _settings(count)
    context = build_sensor_context(instance=instance, resources={"settings": settings, "mongo": mongo_of(settings)})
    started = time.perf_counter()
    result: Any = feedback_volume_sensor(context)
    seconds = time.perf_counter() - started
    said = result.skip_reason.skip_message.split(" · ")
    counted = [line.split(" feedback")[0] for line in said]
    assert counted == [f"{name}: {NEW} of 100" for name in all_specialists()], said
    return seconds


def run() -> list[Measured]:
    """Seed and measure."""
    with tempfile.TemporaryDirectory(prefix="nhm-bench-") as folder, embedded_mongod(Path(folder)) as uri:
        print(f"sensor_tick: seeding {SMALL + LARGE:,} feedback documents", file=sys.stderr)
        child(["benchmarks.sensor_tick", "seed"], {"MONGODB_URI": uri})
        print("sensor_tick: evaluations", file=sys.stderr)
        seconds = np.array(child(["benchmarks.sensor_tick", "measure"], {"MONGODB_URI": uri}))
    small, large = seconds.T
    return [
        measured(f"one at {SMALL:,} documents, {NEW} of them new for each specialist", small * 1000, "ms", 0),
        measured(f"the same at {LARGE:,}", large * 1000, "ms", 0),
        at_most(f"a tick at {LARGE:,} documents : at {SMALL:,}", large / small, 1.3),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["seed"]:
            seed()
        case ["measure"]:
            measure()
        case _:
            report(TITLE, run())
