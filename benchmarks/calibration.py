"""What calibration gains: `python -m benchmarks.calibration [FOLDER]` prints the table of docs/calibration.md.

Four consecutive weeks of five specialists are fitted with each method and scored on their test rows, which no fit uses.
FOLDER holds documents as `nhm seed --from` reads them; without it, the demo's documents are taken.
"""

import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pymongo import MongoClient

from benchmarks.documents import NAMES
from nhm_assets.demo.documents import made_up_documents
from nhm_assets.demo.load import FILES, make_indexes, newest_feedback, read_documents, replace_documents
from nhm_assets.domain.class_order import by_label, class_order
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, TEST
from nhm_assets.domain.partitions import WEEK, Partition, running_week
from nhm_assets.domain.segments import segments_of
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.estimators.calibration import CalibrationChoice, fit_estimator
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.evaluation.metrics import compute_metrics
from nhm_assets.feedback.dataset_builder import assemble, read_window
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.stored_features import ensure_index
from nhm_assets.settings import Settings
from resources.embedded_mongo import embedded_mongod

METHODS: Final[tuple[CalibrationChoice, ...]] = ("none", "auto", "sigmoid", "isotonic")
WEEKS: Final = 4
DEMO_ENDS: Final = datetime(2026, 11, 21, 23, tzinfo=UTC)
CERTAIN: Final = 0.8
"""The confidence from which specialists' consensus approves without a person."""
GROUPS: Final = 5


def main(folder: Path | None) -> None:
    scores = [score for frame in frames(folder) for score in scored(frame)]
    table = pd.DataFrame(scores)
    print(table.groupby("method", sort=False).mean(numeric_only=True).round(3).to_string())
    print(table.groupby(["method", "used"], sort=False).size().to_string())


def frames(folder: Path | None, *, days: int | None = None) -> Iterator[pd.DataFrame]:
    """The datasets of the newest closed weeks, of all specialists; of this many days instead of the window's."""
    settings = Settings()
    newest = newest_feedback(read_documents(folder / "feedback.jsonl.gz")) if folder else DEMO_ENDS
    assert newest is not None, "the folder holds no feedback with a time"
    with (
        tempfile.TemporaryDirectory() as home,
        embedded_mongod(Path(home)) as uri,
        MongoClient[Any](uri, tz_aware=True) as client,
    ):
        database = client["calibration"]
        make_indexes(database, settings)
        ensure_index(database[NAMES.features])
        made = {} if folder else made_up_documents(newest)
        for name, setting in FILES.items():
            documents = read_documents(folder / f"{name}.jsonl.gz") if folder else made[name]
            replace_documents(database, getattr(settings, setting), documents)
        end = Partition.parse(running_week(newest), next(iter(all_specialists()))).week_end
        for number in range(WEEKS):
            week = f"{end - (number + 1) * WEEK:%Y-%m-%d}"
            for specialist in all_specialists():
                partition = Partition.parse(week, specialist)
                window = partition.window(days=days or settings.feedback_window_days, now=end)
                found = read_window(Reader(database, NAMES, specialist, None), window, settings.selection)
                yield assemble(found, partition, window, min_samples=0, synthetic_fallback=False)


def scored(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For each method: what it used, and its scores on the test rows."""
    rows = frame[frame["split"] == TEST]
    labels = rows["label"].to_numpy()
    approved = labels == APPROVE
    learned = learning_rows(frame)
    segments = segments_of(frame)[learned.index]
    for method in METHODS:
        fitted = fit_estimator(learned, PARAMETERS, threads=1, segments=segments, calibration=method)
        order = class_order(fitted.estimator.classes_)
        assert order is not None
        probabilities = by_label(fitted.estimator.predict_proba(rows[list(FEATURE_NAMES)]), order)
        confidence = probabilities[:, APPROVE]
        groups = np.array_split(np.argsort(confidence), GROUPS)
        gaps = [abs(confidence[group].mean() - approved[group].mean()) for group in groups]
        certain = confidence >= CERTAIN
        metrics = compute_metrics(labels, probabilities)
        yield {
            "method": method,
            "used": fitted.calibration.method,
            **metrics.model_dump(include={"brier", "log_loss", "precision", "recall", "f1"}),
            "confidence": confidence.mean(),
            "approved": approved.mean(),
            "gap": np.mean(gaps),
            "certain": certain.mean(),
            "right_if_certain": approved[certain].mean() if certain.any() else np.nan,
        }


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
