"""The temporal split: older rows train, the newest rows test."""

import numpy as np
import pandas as pd

from nhm_assets.domain.segments import SPLIT_OF, segments_by_time, temporal_segments

_SPLITS = np.array(SPLIT_OF, dtype="object")


def split_by_time(size: int) -> np.ndarray:
    """The split of each row by its position alone: the first int(0.70 n) are train, up to int(0.85 n) validation."""
    return _SPLITS[segments_by_time(size)]


def temporal_split(plan_ids: pd.Series) -> pd.Series:
    """The split of each row, for rows sorted by time.

    All rows of a plan are in the split that its newest row has by its position, so that no plan is in two splits.
    """
    return pd.Series(_SPLITS[temporal_segments(plan_ids)], index=plan_ids.index, dtype="object")
