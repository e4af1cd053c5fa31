"""Parts of a frame equal the copies that pandas makes, and share its memory wherever they can."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from nhm_assets.domain.frame_views import columns, renumbered, taken

FRAME = pd.DataFrame({"number": np.arange(6.0), "name": list("abcdef")}, index=range(10, 16))
FRAME.attrs = {"window": ["monday", "sunday"]}


@pytest.mark.parametrize(
    ("wanted", "shared"),
    [
        ([1, 1, 1, 1, 0, 0], True),
        ([0, 0, 1, 1, 0, 0], True),
        ([0, 0, 0, 0, 1, 1], True),
        ([1, 1, 1, 1, 1, 1], True),
        ([1, 0, 1, 1, 0, 0], False),
        ([1, 1, 0, 0, 0, 1], False),
        ([0, 0, 0, 0, 0, 0], False),
    ],
)
@pytest.mark.parametrize("kind", [np.array, lambda wanted: pd.Series(wanted, index=FRAME.index)])
def test_rows_that_follow_one_another_are_not_copied(wanted: list[int], shared, kind):
    mask = kind(np.array(wanted, dtype="bool"))
    rows = taken(FRAME, mask)
    assert_frame_equal(rows, FRAME[mask])
    assert rows.attrs == FRAME.attrs
    assert np.shares_memory(rows["number"].to_numpy(), FRAME["number"].to_numpy()) == shared


def test_no_rows_of_no_rows_are_none():
    assert taken(FRAME[:0], np.zeros(0, "bool")).empty


def test_columns_are_not_copied():
    chosen = columns(FRAME, ["number"])
    assert_frame_equal(chosen, FRAME[["number"]])
    assert chosen.attrs == FRAME.attrs
    assert np.shares_memory(chosen["number"].to_numpy(), FRAME["number"].to_numpy())


def test_renumbered_rows_are_not_copied():
    times = pd.date_range("2026-03-01", periods=6, tz="UTC")
    frame = FRAME.assign(time=pd.Series(times, index=FRAME.index))
    frame.attrs = FRAME.attrs
    part, new = taken(frame, frame["number"] > 1), np.arange(4)
    numbered = renumbered(part, segment=new)
    assert_frame_equal(numbered, part.assign(segment=new).reset_index(drop=True))
    assert numbered.attrs == FRAME.attrs
    assert np.shares_memory(numbered["number"].to_numpy(), frame["number"].to_numpy())
