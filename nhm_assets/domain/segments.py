"""The temporal segments of a dataset: older rows train, newer rows validate, the newest rows test.

Segments 0 and 1 are the split train, segment 2 is validation, and segment 3 is test. The folds of the gate learn the
segments before 1 or 2, and are asked about that one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import REAL, TEST, TRAIN, VALIDATION
from nhm_assets.domain.frame_views import taken

CUTS: Final = (0.55, 0.70, 0.85)
"""Where a segment ends, as a fraction of the real rows in their order."""

SPLIT_OF: Final = (TRAIN, TRAIN, VALIDATION, TEST)
"""The split of each segment."""

TEST_SEGMENT: Final = 3


def segments_by_time(size: int, cuts: Sequence[float] = CUTS) -> np.ndarray:
    """The segment, from 0 on, of each row by its position alone; a cut is rounded down."""
    ends = [int(cut * size) for cut in cuts]
    return np.searchsorted(ends, np.arange(size), side="right")


def temporal_segments(plan_ids: pd.Series, cuts: Sequence[float] = CUTS) -> pd.Series:
    """The segment of each row, for rows sorted by time.

    All rows of a plan are in the segment that its newest row has by its position, so that no plan is in two segments.
    """
    by_time = pd.Series(segments_by_time(len(plan_ids), cuts), index=plan_ids.index, dtype="int64")
    return by_time.groupby(plan_ids).transform("last").astype("int64")


def timed_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a dataset that are in the order of time: the real ones, or all of them if none is real."""
    real = frame["source"] == REAL
    return taken(frame, real) if real.any() else frame


def are_newer(frame: pd.DataFrame, cut: float) -> pd.Series:
    """Whether each row comes after this share of the rows by time; all rows of a plan answer alike.

    Synthetic rows that fill up real ones do not: they are among the older ones.
    """
    segments = temporal_segments(timed_rows(frame)["plan_id"], (cut,))
    return segments.reindex(frame.index, fill_value=0) > 0


def segments_of(frame: pd.DataFrame) -> pd.Series:
    """The segment of each row of a dataset.

    The stored splits count; only train is cut again. Synthetic rows that fill up real ones are in segment 0.
    """
    segments = temporal_segments(timed_rows(frame)["plan_id"]).clip(upper=1).reindex(frame.index, fill_value=0)
    segments[frame["split"] == VALIDATION] = SPLIT_OF.index(VALIDATION)
    segments[frame["split"] == TEST] = TEST_SEGMENT
    return segments
