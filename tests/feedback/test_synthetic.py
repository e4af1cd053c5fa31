"""Synthetic rows: reproducible, with the dataset's schema, and suitable to learn from."""

import math
from datetime import timedelta

import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, conform, data_version, schema_faults
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.synthetic import synthetic_rows
from tests.support.documents import WEEK_END, WINDOW_START

PARTITION = Partition.parse("2026-03-01", "technical")
WINDOW = Window(WINDOW_START, WEEK_END)


def rows(count: int = 50, partition: Partition = PARTITION, window: Window = WINDOW) -> pd.DataFrame:
    added = synthetic_rows(partition, window, count)
    return conform(added.assign(**dict.fromkeys(EMBEDDING_FEATURES, math.nan)))


def test_the_same_partition_gives_the_same_rows():
    assert data_version(rows()) == data_version(rows())


@pytest.mark.parametrize(
    "other", [Partition.parse("2026-03-01", "business"), Partition.parse("2026-02-22", "technical")]
)
def test_another_partition_gives_other_rows(other: Partition):
    assert not rows()["risk_score"].equals(rows(partition=other)["risk_score"])


def test_fewer_rows_are_the_first_of_a_larger_set():
    """So a few more real rows do not change the synthetic ones."""
    fewer, more = rows(20), rows(50)
    pd.testing.assert_frame_equal(fewer.drop(columns="submitted_at"), more[:20].drop(columns="submitted_at"))


def test_rows_match_the_dataset_s_schema_and_are_marked():
    frame = rows(200)
    assert len(frame) == 200
    assert schema_faults(frame) == []
    assert set(frame["source"]) == {"synthetic"}
    assert set(frame["split"]) == {"train"}


@pytest.mark.parametrize("days", [1, 2, 30])
@pytest.mark.parametrize("hour", [0, 0.01, 9, 23.99])
def test_rows_lie_inside_the_window(days: int, hour: float):
    end = WEEK_END - timedelta(days=3) + timedelta(hours=hour)
    moments = rows(window=Window(end - timedelta(days=days), end))["submitted_at"]
    assert moments.min() > end - timedelta(days=days)
    assert moments.max() < end
    assert moments.is_unique


def running(end_hours: float) -> str:
    """The version of rows for a window that ends this many hours into a day of the running week."""
    end = WEEK_END - timedelta(days=3) + timedelta(hours=end_hours)
    return data_version(rows(window=Window(end - timedelta(days=30), end)))


def test_rows_of_the_running_week_are_the_same_all_day():
    """They moved with every second, so two retrainings on the same feedback were never `unchanged`."""
    assert len({running(hours) for hours in (0.001, 9, 9 + 1 / 3600, 23.9)}) == 1
    assert running(24.5) != running(9)


def test_rows_have_all_three_classes_and_approved_plans_have_the_least_risk():
    frame = rows(300)
    assert frame["label"].value_counts().min() >= 30
    risk = frame.groupby("label")["risk_score"].mean()
    assert risk[1] < risk[2] < risk[0]


def test_synthetic_ids_cannot_be_those_of_real_documents():
    frame = rows()
    assert frame["plan_id"].str.startswith("synthetic-technical-2026-03-01-").all()
    assert frame["opinion_id"].is_unique
