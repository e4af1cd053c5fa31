"""What made-up rows are compared with: the ranges of the features of real rows, and the rows themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES, REAL, TRAIN
from nhm_assets.domain.errors import UsageError
from nhm_assets.feedback.llm_rows import feature_keys
from resources.storage import FrameIOManager

_ASSET: Final = FEEDBACK_DATASET.to_user_string()
_FEWEST: Final = 20

Ranges = Mapping[str, tuple[float, float]]
"""Feature -> its least and its greatest value among real train rows."""


@dataclass(frozen=True)
class RealRows:
    """The newest dataset of a specialist.

    Attributes:
        week: of the dataset.
        ranges: of its real train rows; the others stay unseen.
        keys: of all real rows: see `feature_keys`.
    """

    week: str
    ranges: Ranges
    keys: frozenset[str]

    @classmethod
    def newest(cls, storage: str, specialist: str) -> "RealRows":
        """Those of the newest stored dataset.

        Raises:
            UsageError: there is none, or it has too few real train rows.
            StorageError: it cannot be read.
        """
        manager = FrameIOManager(storage)
        weeks = [week for name, week in manager.partitions_of(_ASSET) if name == specialist]
        if not weeks:
            raise UsageError(
                f"there is no dataset of {specialist} to compare made-up rows with. Make one first:"
                f" nhm retrain --specialist {specialist}"
            )
        week = max(weeks)
        frame = manager.read(manager.file_of(_ASSET, specialist, week), _ASSET)
        real = frame[frame["source"] == REAL]
        train = real.loc[real["split"] == TRAIN, list(COMPUTED_FEATURES)]
        if len(train) < _FEWEST:
            raise UsageError(
                f"the dataset of {specialist} {week} has {len(train)} real train rows; {_FEWEST} are required to say"
                " what is plausible. Wait for more feedback"
            )
        ranges = {name: (float(train[name].min()), float(train[name].max())) for name in COMPUTED_FEATURES}
        return cls(week, ranges, frozenset(feature_keys(real)))


def is_plausible(features: Mapping[str, float], ranges: Ranges) -> bool:
    """Whether every feature lies in its range."""
    return all(ranges[name][0] <= value <= ranges[name][1] for name, value in features.items())
