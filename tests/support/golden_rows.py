"""A dataset made from the golden plans, the same on every Python."""

from pathlib import Path

import pandas as pd

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, REAL, REVIEWER, conform, data_version
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.feedback.synthetic import synthetic_rows
from tests.support.documents import WEEK, WEEK_END, WINDOW_START
from tests.support.golden import golden_features


def golden_rows(vectors: Path) -> pd.DataFrame:
    """Real rows of the golden plans, and synthetic ones."""
    features = golden_features(vectors)
    numbers = range(len(features))
    described = pd.DataFrame(
        {
            **{name: [f"{name}-{number}" for number in numbers] for name in ("feedback_id", "opinion_id", "plan_id")},
            "submitted_at": pd.date_range(WINDOW_START, periods=len(features), freq="3h7min"),
            "human_rating": [number / len(features) for number in numbers],
            "label": [number % len(CLASS_NAMES) for number in numbers],
            "source": REAL,
            "provenance": REVIEWER,
        }
    )
    real = pd.concat([described, pd.DataFrame(features)], axis=1)
    real["split"] = temporal_split(real["plan_id"])
    synthetic = synthetic_rows(Partition.parse(WEEK, "technical"), Window(WINDOW_START, WEEK_END), 200)
    return conform(pd.concat([real, synthetic], ignore_index=True).reindex(columns=[*real, *FEATURE_NAMES[-3:]]))


def golden_version(vectors: Path) -> str:
    """The data version of these rows."""
    return data_version(golden_rows(vectors))
