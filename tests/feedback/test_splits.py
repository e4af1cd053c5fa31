"""The temporal split: older rows train, the newest rows test."""

import pandas as pd
import pytest

from nhm_assets.feedback.splits import temporal_split


def split(*plan_ids: str) -> list[str]:
    return temporal_split(pd.Series(plan_ids, dtype="object")).tolist()


@pytest.mark.parametrize(
    ("rows", "train", "validation", "test"),
    [
        (0, 0, 0, 0),
        (1, 0, 0, 1),
        (2, 1, 0, 1),
        (3, 2, 0, 1),
        (7, 4, 1, 2),
        (10, 7, 1, 2),
        (20, 14, 3, 3),
        (100, 70, 15, 15),
        (1247, 872, 187, 188),
    ],
)
def test_split_sizes_are_rounded_down(rows: int, train: int, validation: int, test: int):
    expected = ["train"] * train + ["validation"] * validation + ["test"] * test
    assert split(*(f"plan-{number}" for number in range(rows))) == expected


def test_all_rows_of_a_plan_move_to_the_split_of_its_newest_row():
    ids = [f"plan-{number}" for number in range(20)]
    ids[0] = ids[19]
    ids[5] = ids[15]
    ids[2] = ids[3]
    parts = split(*ids)
    assert parts[0] == parts[19] == "test"
    assert parts[5] == parts[15] == "validation"
    assert parts[2] == parts[3] == "train"
    assert (parts.count("train"), parts.count("validation"), parts.count("test")) == (12, 4, 4)


def test_one_plan_alone_is_all_test():
    assert split(*["plan"] * 10) == ["test"] * 10


def test_the_split_keeps_the_index_of_the_rows():
    plan_ids = pd.Series(["a", "b", "c"], index=[30, 10, 20], dtype="object")
    assert temporal_split(plan_ids).to_dict() == {30: "train", 10: "train", 20: "test"}
