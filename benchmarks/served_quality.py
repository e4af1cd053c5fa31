"""A week of 100,000 plans of one specialist, measured as `served_quality` does, with its drift.

`python -m benchmarks.served_quality` fills a mongod of its own, and measures in other processes. MLflow is left out:
what the version learned, and the features that are compared with it, are drawn at random, as many as the week has.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measuring import child, peak_memory_mb, rounds
from benchmarks.results import Measured, at_most, report
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

TITLE: Final = "A week of served_quality"
PLANS: Final = 100_000
ROUNDS: Final = rounds(5)
_WEEK: Final = "2026-03-01"
_START: Final = datetime(2026, 3, 1, tzinfo=UTC)
_NOW: Final = _START + timedelta(days=9)
_REVIEWED: Final = 20
"""One of so many opinions has feedback."""
_LONGEST_S, _LARGEST_MB = 60, 500


def _documents(first: int, count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]]:
    """Opinion, features and perhaps feedback of each plan."""
    draw = np.random.default_rng(first)
    for number in range(first, first + count):
        plan, at = f"plan-{number:06d}", _START + timedelta(days=7) * number / PLANS
        confidence = float(draw.random())
        origin = {"model_source": "ml_model", "model_version": "3"}
        said = {"confidence_score": confidence, "risk_score": (1 - confidence) / 2, "metadata": origin}
        known = {"opinion_id": f"opinion-{number:06d}", "plan_id": plan, "specialist_type": "technical"}
        values = dict(zip(FEATURE_NAMES, draw.random(len(FEATURE_NAMES)).tolist(), strict=True))
        features = {
            "plan_id": plan,
            "features": json.dumps({"aggregated_features": values}),
            "timestamp": at.timestamp(),
        }
        review = None
        if number % _REVIEWED == 0:
            verdict = {
                "human_rating": 0.5,
                "human_recommendation": "approve" if draw.random() < confidence else "reject",
            }
            review = {**known, **verdict, "feedback_id": f"feedback-{number:06d}", "submitted_at": at}
        yield {**known, "evaluated_at": at, "schema_version": 2, "opinion": said}, features, review


def seed(uri: str) -> None:
    """Write the week."""
    from pymongo import MongoClient

    with MongoClient(uri) as client:
        database = client.get_database("served")
        database["specialist_opinions"].create_index([("specialist_type", 1), ("evaluated_at", 1)])
        database["specialist_opinions"].create_index([("opinion_id", 1), ("specialist_type", 1)])
        database["specialist_feedback"].create_index([("specialist_type", 1), ("submitted_at", 1)])
        database["plan_features"].create_index("plan_id", unique=True)
        for first in range(0, PLANS, 10_000):
            opinions, features, reviews = zip(*_documents(first, 10_000), strict=True)
            database["specialist_opinions"].insert_many(opinions)
            database["plan_features"].insert_many(features)
            database["specialist_feedback"].insert_many([one for one in reviews if one])


def measure(uri: str, folder: str) -> None:
    """Body of the process that measures."""
    from nhm_assets.domain.partitions import Partition
    from nhm_assets.drift.baseline import Baseline
    from nhm_assets.drift.bins import Bins, categories
    from nhm_assets.resource_factories import mlflow_of, mongo_of
    from nhm_assets.served.columns import Answers
    from nhm_assets.served.drift import drift_of
    from nhm_assets.served.measure import Measurement

    settings = Settings(nhm_home=Path(folder), mongodb_uri=uri, mongodb_database="served", nhm_now=_NOW)
    partition = Partition.parse(_WEEK, "technical")
    with mlflow_of(settings).client():
        pass
    started = time.perf_counter()
    with mongo_of(settings).database() as database:
        quality = Measurement(database, mlflow_of(settings), partition, settings, _NOW, print).measure()
    rows = np.random.default_rng(0).random((PLANS, len(FEATURE_NAMES)))
    bins = {name: Bins.of(rows[:1000, column]) for column, name in enumerate(FEATURE_NAMES)}
    labels = categories({"approve": 1}, ("approve",))
    baseline = Baseline(rows=1000, synthetic=False, features=bins, answers={}, labels=labels, important=[])
    nothing = Answers(*[np.empty(0)] * 3)
    drift = drift_of(baseline, [rows], nothing, np.empty(0))
    seconds = time.perf_counter() - started
    opinions = quality.answered.opinions if quality.answered else 0
    assert (opinions, drift.plans) == (PLANS, PLANS), quality.faults
    print(json.dumps({"seconds": seconds, "megabytes": peak_memory_mb(), "reviewed": quality.agreements[0].reviewed}))


def run() -> list[Measured]:
    """Seed, measure, and compare with the targets."""
    with tempfile.TemporaryDirectory() as name, embedded_mongod(Path(name) / "mongod") as uri:
        seed(uri)
        found = [child(["benchmarks.served_quality", "measure", uri, name], {}) for _ in range(ROUNDS)]
    seconds, megabytes = ([one[figure] for one in found] for figure in ("seconds", "megabytes"))
    return [
        at_most(f"a week of {PLANS:,} plans, {found[0]['reviewed']:,} reviewed", seconds, _LONGEST_S, "s", 1),
        at_most("its memory", megabytes, _LARGEST_MB, "MB", 0),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:4])
    else:
        report(TITLE, run())
