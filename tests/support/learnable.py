"""Rows that a forest can learn from, and a function that stores them as the dataset of a partition."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetCheckEvaluation

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.dataset_schema import (
    APPROVE,
    COMPUTED_FEATURES,
    EMBEDDING_FEATURES,
    REJECT,
    REVIEW_REQUIRED,
    data_version,
)
from nhm_assets.domain.outcomes import CHECKED_DATA, DATASET_CHECKS
from nhm_assets.domain.partitions import Partition
from resources.storage import FrameIOManager
from tests.support.documents import WEEK
from tests.support.frames import dataset
from tests.support.platform import Platform

ALL_CLASSES = (REJECT, APPROVE, REVIEW_REQUIRED)


def learnable(
    count: int = 300,
    *,
    classes: Sequence[int] = ALL_CLASSES,
    decided_by: str = "risk_score",
    noise: float = 0.05,
    seed: int = 1,
    **columns: Any,
) -> pd.DataFrame:
    """Rows without embeddings. One feature decides the class, except for a random fraction `noise` of the rows."""
    draw = np.random.default_rng(seed)
    numbers = {name: draw.random(count) for name in COMPUTED_FEATURES}
    decided = (numbers[decided_by] * len(classes)).astype("int64")
    drawn = draw.integers(len(classes), size=count)
    label = np.array(classes)[np.where(draw.random(count) < noise, drawn, decided)]
    return dataset(count, **({"label": label} | numbers | dict.fromkeys(EMBEDDING_FEATURES, math.nan) | columns))


def store_dataset(platform: Platform, frame: pd.DataFrame, *, specialist: str = "technical", week: str = WEEK) -> None:
    """Store the frame as the `feedback_dataset` of the partition."""
    FrameIOManager(platform.settings.storage).store(frame, "feedback_dataset", specialist, week)


def store_checked_dataset(
    platform: Platform, frame: pd.DataFrame, *, specialist: str = "technical", week: str = WEEK
) -> None:
    """Store it as if the checks that promotion asks for had passed; once for a partition."""
    store_dataset(platform, frame, specialist=specialist, week=week)
    partition, about = str(Partition.parse(week, specialist).key), {CHECKED_DATA: data_version(frame)}
    for check in DATASET_CHECKS:
        platform.instance.report_runless_asset_event(
            AssetCheckEvaluation(FEEDBACK_DATASET, check, passed=True, metadata=about, partition=partition)
        )
