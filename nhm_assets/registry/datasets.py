"""The dataset files in storage: which one a version learned from, and which ones hold a feedback."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET
from nhm_assets.domain.dataset_schema import data_version
from nhm_assets.registry.vocabulary import DATA_VERSION_TAG, PARTITION_TAG
from resources.addresses import masked
from resources.errors import StorageError
from resources.storage import FrameIOManager

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities.model_registry import ModelVersion

_ASSET: Final = FEEDBACK_DATASET.to_user_string()


@dataclass(frozen=True)
class Dataset:
    """A stored dataset: its address, without credentials, and its rows."""

    address: str
    frame: "pd.DataFrame"


@dataclass(frozen=True)
class Holding:
    """A stored dataset that holds a feedback.

    Attributes:
        split: of the row: models learn from train and validation, and are judged on test.
        data_version: of the dataset, which versions in MLflow name.
    """

    specialist: str
    week: str
    address: str
    split: str
    data_version: str


def dataset_of(version: "ModelVersion", storage: str, columns: Sequence[str] | None = None) -> Dataset | None:
    """The dataset that a version was trained on; None if it can no longer be read.

    Args:
        version: of the registry.
        storage: NHM_STORAGE, which keeps every dataset.
        columns: that its rows have: all of a million rows take half a gigabyte; None: all.
    """
    # Also of a specialist that was taken out or renamed. Somebody else may have written the tag.
    tag = version.tags.get(PARTITION_TAG, "")
    specialist, _, week = tag.partition("|")
    if not specialist or not week or "/" in tag:
        return None
    manager = FrameIOManager(storage)
    try:
        for file in manager.files_of(_ASSET, specialist, week):
            stored = manager.stored(file, _ASSET)
            if data_version(stored) == version.tags.get(DATA_VERSION_TAG):
                return Dataset(masked(str(file)), stored.frame(columns))
    except StorageError as error:
        if error.transient:
            raise
    return None


def datasets_with(feedback_id: str, storage: str) -> tuple[list[Holding], list[str]]:
    """Every stored dataset, current or earlier, that holds this feedback; and why some could not be read."""
    manager = FrameIOManager(storage)
    found, faults = [], []
    for specialist, week in manager.partitions_of(_ASSET):
        for file in manager.files_of(_ASSET, specialist, week):
            try:
                frame = manager.read(file, _ASSET)
            except StorageError as error:
                if error.transient:
                    raise
                faults.append(str(error))
                continue
            rows = frame.loc[frame["feedback_id"] == feedback_id, "split"]
            if len(rows):
                found.append(Holding(specialist, week, masked(str(file)), str(rows.iloc[0]), data_version(frame)))
    return found, faults
