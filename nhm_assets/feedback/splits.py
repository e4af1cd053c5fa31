"""The temporal split: older rows train, the newest rows test."""

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import SPLITS

TRAIN_END = 0.70
VALIDATION_END = 0.85


def temporal_split(plan_ids: pd.Series) -> pd.Series:
    """The split of each row, for rows sorted by time.

    Of n rows, the first int(0.70 n) are train, those up to int(0.85 n) are validation, and the rest are test. Then
    all rows of a plan move to the split of its newest row, so that no plan is in two splits.
    """
    size = len(plan_ids)
    ends = [int(TRAIN_END * size), int(VALIDATION_END * size)]
    position = np.searchsorted(ends, np.arange(size), side="right")
    newest = pd.Series(position, index=plan_ids.index).groupby(plan_ids).transform("last")
    return newest.map(dict(enumerate(SPLITS))).astype("object")
