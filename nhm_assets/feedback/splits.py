"""The temporal split: older rows teach, the newest rows test."""

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import SPLITS

TRAIN_SHARE = 0.70
VALIDATION_END_SHARE = 0.85


def temporal_split(plan_ids: pd.Series) -> pd.Series:
    """The split of each row, for rows in the order of time.

    Of n rows the first int(0.70 n) are train, those up to int(0.85 n) validation, the rest test. Then all
    rows of a plan move to the split of its newest row, so that no plan is both learned and tested.
    """
    size = len(plan_ids)
    ends = [int(TRAIN_SHARE * size), int(VALIDATION_END_SHARE * size)]
    position = np.searchsorted(ends, np.arange(size), side="right")
    newest = pd.Series(position, index=plan_ids.index).groupby(plan_ids).transform("last")
    return newest.map(dict(enumerate(SPLITS))).astype("object")
