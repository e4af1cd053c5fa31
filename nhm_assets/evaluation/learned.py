"""What a version has learned: nobody is judged by answers to rows that it was told."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import TEST
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry.datasets import dataset_of
from nhm_assets.registry.versions import version_if_any, window_end
from nhm_assets.registry.vocabulary import INCREMENT_OF_TAG, LEARNED_UNTIL_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Learned:
    """What a version has learned.

    Attributes:
        until: newest time among the rows that it has learned; None if that is unknown.
        by: how that is known: by the dataset that it learned, by the tag of the version, by the end of its window, or
            not at all.
        newer: whether its window ends after the candidate's.
        plans: ids of the plans that it has learned, as far as its dataset can still be read.
    """

    until: datetime | None
    by: Literal["dataset", "tag", "window", "nothing"]
    newer: bool = False
    plans: frozenset[str] = frozenset()

    def is_new(self, rows: pd.DataFrame) -> np.ndarray:
        """Whether the version has not learned each row, nor another row of its plan.

        If nobody knows what it has learned, the test rows count as new, and no others.
        """
        if self.until is None:
            return (rows["split"] == TEST).to_numpy()
        later = rows["submitted_at"] > self.until
        # A newer feedback on an opinion takes the place of the one that the version has learned, and rows of a plan
        # move to the segment of its newest one: so the time alone does not tell.
        whole = later.groupby(rows["plan_id"]).transform("all") & ~rows["plan_id"].isin(self.plans)
        return whole.to_numpy(dtype="bool")


UNKNOWN: Final = Learned(None, "nothing")


def learned_by(
    version: "ModelVersion", storage: str, *, candidate_end: datetime, frozen: "ModelVersion | None" = None
) -> Learned:
    """What a version of this platform has learned: by its dataset, else its tag, else the end of its window.

    Args:
        version: of the registry.
        storage: NHM_STORAGE, which keeps every dataset that a version was trained on.
        candidate_end: end of the candidate's window.
        frozen: the version that it is an increment of, if it is one: it has learned those plans, too.
    """
    end = window_end(version)
    newer = end is not None and end > candidate_end
    learned = _learned_rows(version, storage)
    plans = frozenset() if learned is None else frozenset(learned["plan_id"])
    if frozen is not None:
        plans |= learned_by(frozen, storage, candidate_end=candidate_end).plans
    until = _learned_until(version)
    if until is not None:
        return Learned(until, "tag" if learned is None else "dataset", newer, plans)
    return Learned(end, "window", newer, plans) if end else UNKNOWN


def frozen_of(client: "MlflowClient", version: "ModelVersion") -> "ModelVersion | None":
    """The version that an increment corrects; None for one that learned in full, and if it was deleted."""
    number = version.tags.get(INCREMENT_OF_TAG)
    return version_if_any(client, version.name, number) if number else None


def _learned_until(version: "ModelVersion") -> datetime | None:
    try:
        until = datetime.fromisoformat(version.tags.get(LEARNED_UNTIL_TAG, ""))
    except ValueError:
        return None
    return until if until.tzinfo else until.replace(tzinfo=UTC)


def _learned_rows(version: "ModelVersion", storage: str) -> pd.DataFrame | None:
    """The rows that a version has learned; None if its dataset can no longer be read."""
    dataset = dataset_of(version, storage, ("plan_id", "split"))
    return None if dataset is None else learning_rows(dataset.frame)
