"""The temporal split: older rows train, the newest rows test."""

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import SPLITS

TRAIN_END = 0.70
VALIDATION_END = 0.85


def split_by_time(size: int) -> np.ndarray:
    """The split of each row by its position alone: the first int(0.70 n) are train, up to int(0.85 n) validation."""
    ends = [int(TRAIN_END * size), int(VALIDATION_END * size)]
    return np.array(SPLITS, dtype="object")[np.searchsorted(ends, np.arange(size), side="right")]


def temporal_split(plan_ids: pd.Series) -> pd.Series:
    """The split of each row, for rows sorted by time.

    All rows of a plan are in the split that its newest row has by its position, so that no plan is in two splits.
    """
    by_time = pd.Series(split_by_time(len(plan_ids)), index=plan_ids.index, dtype="object")
    return by_time.groupby(plan_ids).transform("last").astype("object")
