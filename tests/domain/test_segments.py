"""The segments of a dataset: cut by time, with all rows of a plan in one, and in line with the splits."""

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import SYNTHETIC, TEST, TRAIN, VALIDATION
from nhm_assets.domain.segments import SPLIT_OF, segments_by_time, segments_of, temporal_segments
from nhm_assets.feedback.splits import temporal_split
from tests.support.frames import dataset


def segments(*plan_ids: str) -> list[int]:
    return temporal_segments(pd.Series(plan_ids, dtype="object")).tolist()


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        (0, (0, 0, 0, 0)),
        (1, (0, 0, 0, 1)),
        (7, (3, 1, 1, 2)),
        (20, (11, 3, 3, 3)),
        (100, (55, 15, 15, 15)),
        (1247, (685, 187, 187, 188)),
    ],
)
def test_the_cuts_are_rounded_down(rows: int, sizes: tuple[int, ...]):
    assert tuple(np.bincount(segments_by_time(rows), minlength=4)) == sizes


def test_all_rows_of_a_plan_are_in_the_segment_of_its_newest_row():
    ids = [f"plan-{number}" for number in range(20)]
    ids[0], ids[12], ids[1] = ids[19], ids[15], ids[13]
    found = segments(*ids)
    assert found[0] == found[19] == 3
    assert found[12] == found[15] == 2
    assert found[1] == found[13] == 1


@pytest.mark.parametrize("rows", [1, 2, 3, 17, 100, 999, 1000, 1247])
@pytest.mark.parametrize("plans", [1, 3, 40, 5000])
def test_segments_0_and_1_are_train_2_is_validation_and_3_is_test_for_any_plans(rows: int, plans: int):
    ids = pd.Series(np.random.default_rng(rows).integers(plans, size=rows).astype(str), dtype="object")
    split = np.array(SPLIT_OF, dtype="object")[temporal_segments(ids)]
    assert list(split) == list(temporal_split(ids))
    frame = dataset(rows, plan_id=ids, split=temporal_split(ids))
    assert list(segments_of(frame)) == list(temporal_segments(ids))


def test_synthetic_rows_beside_real_ones_are_in_segment_0_and_move_no_cut():
    real = dataset(100)
    extra = dataset(300, source=SYNTHETIC, split=TRAIN, plan_id=[f"synthetic-{number}" for number in range(300)])
    mixed = pd.concat([real, extra]).sort_values("submitted_at", ignore_index=True)
    found = segments_of(mixed)
    assert set(found[mixed["source"] == SYNTHETIC]) == {0}
    assert list(found[mixed["source"] != SYNTHETIC]) == list(segments_of(real))


def test_synthetic_rows_alone_are_cut_like_real_ones():
    assert list(segments_of(dataset(100, source=SYNTHETIC))) == list(segments_of(dataset(100)))


def test_the_stored_splits_count_whatever_the_times_say():
    frame = dataset(100, split=[TEST] * 20 + [VALIDATION] * 20 + [TRAIN] * 60)
    found = segments_of(frame)
    assert set(found[:20]) == {3}
    assert set(found[20:40]) == {2}
    assert set(found[40:]) <= {0, 1}
