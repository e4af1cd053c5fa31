"""What a version has learned: nobody is judged by answers to rows that it was told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import TEST
from nhm_assets.registry.versions import window_end
from nhm_assets.registry.vocabulary import LEARNED_UNTIL_TAG

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Learned:
    """What a version has learned.

    Attributes:
        until: newest time among the rows that it has learned; None if that is unknown.
        by: how that is known: by the tag of the version, by the end of its window, or not at all.
        newer: whether its window ends after the candidate's.
    """

    until: datetime | None
    by: Literal["tag", "window", "nothing"]
    newer: bool = False

    def is_new(self, rows: pd.DataFrame) -> np.ndarray:
        """Whether the version has not learned each row, nor another row of its plan.

        If nobody knows what it has learned, the test rows count as new, and no others.
        """
        if self.until is None:
            return (rows["split"] == TEST).to_numpy()
        later = rows["submitted_at"] > self.until
        # The newest row of a plan decides its segment, so an older row may have been learned before.
        return later.groupby(rows["plan_id"]).transform("all").to_numpy(dtype="bool")


UNKNOWN: Final = Learned(None, "nothing")


def learned_by(version: "ModelVersion", *, candidate_end: datetime) -> Learned:
    """What a version of this platform has learned: up to its tag, else up to the end of its window.

    Args:
        version: of the registry.
        candidate_end: end of the candidate's window.
    """
    end = window_end(version)
    newer = end is not None and end > candidate_end
    try:
        until = datetime.fromisoformat(version.tags.get(LEARNED_UNTIL_TAG, ""))
    except ValueError:
        return Learned(end, "window", newer) if end else UNKNOWN
    return Learned(until if until.tzinfo else until.replace(tzinfo=UTC), "tag", newer)
