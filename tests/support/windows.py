"""Documents of one window in a real MongoDB, and the dataset that they result in."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pandas as pd
from pymongo.database import Database

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.selection import Selection
from nhm_assets.feedback.dataset_builder import WindowRead, assemble, describe, read_window
from nhm_assets.feedback.quarantine import reason_counts
from nhm_assets.feedback.reader import CollectionNames, Reader
from tests.support.documents import (
    NOW,
    WEEK,
    Document,
    feedback,
    opinion,
    put,
)

NAMES = CollectionNames("specialist_feedback", "specialist_opinions", "cognitive_ledger", "plan_features")
SECOND = timedelta(seconds=1)
STORED = {name: position + 0.5 for position, name in enumerate(FEATURE_NAMES)}


ALL = Selection(min_rating=0.0, scripted_prefixes=("fb-auto-",), include_scripted=False)
"""The selection of the default settings, with one prefix."""


def read(
    database: Database[Document], *, specialist: str = "technical", min_rating: float = 0.0, scripted: bool = False
) -> WindowRead:
    window = Partition.parse(WEEK, specialist).window(days=30, now=NOW)
    selection = replace(ALL, min_rating=min_rating, include_scripted=scripted)
    return read_window(Reader(database, NAMES, specialist, None), window, selection)


def rows(database: Database[Document], **how: Any) -> list[str]:
    """The feedback ids of the rows, in order."""
    return read(database, **how).rows["feedback_id"].tolist()


def rejected(database: Database[Document], **how: Any) -> dict[str, str]:
    """Feedback id -> the reason for its quarantine."""
    return {one["document"]["feedback_id"]: str(one["reason"]) for one in read(database, **how).quarantine}


def assembled(
    database: Database[Document], *, min_samples: int = 0, fallback: str = "no", specialist: str = "technical"
) -> pd.DataFrame:
    partition = Partition.parse(WEEK, specialist)
    window = partition.window(days=30, now=NOW)
    result = read(database, specialist=specialist)
    frame = assemble(result, partition, window, min_samples=min_samples, synthetic_fallback=fallback == "yes")
    frame.attrs = describe(frame, result, reason_counts(result.quarantine), window)
    return frame


def reviewed(database: Database[Document], *times: Any) -> None:
    """An opinion and its feedback for each of these times, numbered by position."""
    numbers = range(len(times))
    put(
        database,
        opinions=[opinion(number) for number in numbers],
        feedback=[feedback(number, submitted_at=moment) for number, moment in zip(numbers, times, strict=True)],
    )


def with_plan(
    database: Database[Document],
    *,
    own: Any = None,
    ledger: Any = None,
    stored: Any = None,
    numbers: Sequence[int] = (1,),
) -> None:
    """Feedback on opinions with the plan in these places."""
    put(
        database,
        opinions=[opinion(number, cognitive_plan=own) for number in numbers],
        feedback=[feedback(number) for number in numbers],
        plans=[{"plan_id": f"plan-{number}", "plan_data": ledger} for number in numbers] if ledger else [],
        features=[{"plan_id": f"plan-{number}", "features": stored} for number in numbers] if stored else [],
    )
