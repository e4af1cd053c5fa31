"""Synthetic rows: reproducible, of the dataset's shape, and such that a model can learn from them."""

import math

import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES, conform, data_version, schema_faults
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.synthetic import synthetic_rows
from tests.support.documents import NOW, WEEK_END, WINDOW_START

PARTITION = Partition.parse("2026-03-01", "technical")
WINDOW = Window(WINDOW_START, WEEK_END)


def rows(count: int = 50, partition: Partition = PARTITION) -> pd.DataFrame:
    added = synthetic_rows(partition, partition.window(days=30, now=NOW), count)
    return conform(added.assign(**dict.fromkeys(EMBEDDING_FEATURES, math.nan)))


def test_the_same_partition_gives_the_same_rows():
    assert data_version(rows()) == data_version(rows())


@pytest.mark.parametrize(
    "other", [Partition.parse("2026-03-01", "business"), Partition.parse("2026-02-22", "technical")]
)
def test_another_partition_gives_other_rows(other: Partition):
    assert not rows()["risk_score"].equals(rows(partition=other)["risk_score"])


def test_fewer_rows_are_the_first_of_more():
    """So that a few real rows more do not change what the synthetic ones say."""
    fewer, more = rows(20), rows(50)
    pd.testing.assert_frame_equal(fewer.drop(columns="submitted_at"), more[:20].drop(columns="submitted_at"))


def test_rows_have_the_dataset_s_shape_and_are_marked():
    frame = rows(200)
    assert len(frame) == 200
    assert schema_faults(frame) == []
    assert set(frame["source"]) == {"synthetic"}
    assert set(frame["split"]) == {"train"}


def test_rows_lie_inside_the_window():
    moments = rows()["submitted_at"]
    assert moments.min() > WINDOW_START
    assert moments.max() < WEEK_END
    assert moments.is_unique


def test_rows_hold_all_three_classes_and_approve_is_the_safe_one():
    frame = rows(300)
    assert frame["label"].value_counts().min() >= 30
    risk = frame.groupby("label")["risk_score"].mean()
    assert risk[1] < risk[2] < risk[0]


def test_no_opinion_or_plan_of_theirs_could_be_a_real_one():
    frame = rows()
    assert frame["plan_id"].str.startswith("synthetic-technical-2026-03-01-").all()
    assert frame["opinion_id"].is_unique
