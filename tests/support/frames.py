"""Dataset rows with chosen values."""

from datetime import timedelta
from typing import Any

import pandas as pd

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, REAL, REVIEWER, SYNTHETIC, conform
from nhm_assets.feedback.splits import temporal_split
from tests.support.documents import WEEK_END, WINDOW_START


def dataset(count: int = 20, **columns: Any) -> pd.DataFrame:
    """Real rows, evenly spread over the window, with alternating classes and one plan per row; name a column to set it.

    Columns are set last, and as they are given: so they can be wrong.
    """
    step = (WEEK_END - WINDOW_START) / max(1, count)
    plan_ids = pd.Series([f"plan-{number:04}" for number in range(count)], dtype="object")
    described = pd.DataFrame(
        {
            "feedback_id": [f"feedback-{number:04}" for number in range(count)],
            "opinion_id": [f"opinion-{number:04}" for number in range(count)],
            "plan_id": plan_ids,
            "submitted_at": pd.to_datetime([WEEK_END - step * (count - number) for number in range(count)], utc=True),
            "human_rating": 0.5,
            "label": [number % len(CLASS_NAMES) for number in range(count)],
            "source": REAL,
            "provenance": REVIEWER,
            "split": temporal_split(plan_ids),
        }
    )
    numbers = {name: [position + row / 8 for row in range(count)] for position, name in enumerate(FEATURE_NAMES)}
    frame = conform(pd.concat([described, pd.DataFrame(numbers)], axis=1)).assign(**columns)
    frame.attrs = {
        "window": [WINDOW_START.isoformat(), WEEK_END.isoformat()],
        "data_source": REAL,
        "quarantined": {},
        "undated": 0,
        "scripted": 0,
        "told_by_scores": None,
        "real_rows": int((frame["source"] == REAL).sum()),
        "synthetic_rows": int((frame["source"] == SYNTHETIC).sum()),
        "stored_features_rows": 0,
    }
    return frame


def newest(age: timedelta, count: int = 20) -> pd.DataFrame:
    """Rows whose newest is this much older than the window's end."""
    frame = dataset(count)
    return dataset(count, submitted_at=frame["submitted_at"] + (WEEK_END - age - frame["submitted_at"].max()))
