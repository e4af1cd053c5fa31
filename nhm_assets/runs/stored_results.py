"""What a run that has ended has stored: its dataset, its model and its report."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dagster import AssetKey, AssetMaterialization, ExecuteInProcessResult

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, FEEDBACK_DATASET, TRAINED_MODEL
from nhm_assets.domain.dagster_names import DATA_VERSION
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from resources.storage import FILE, FrameIOManager, RecordIOManager
from resources.storage_location import location

if TYPE_CHECKING:
    from pydantic import BaseModel

    from resources.stored_frames import StoredFrame

R = TypeVar("R", bound="BaseModel")


@dataclass(frozen=True)
class StoredResults:
    """Reads what this run has stored in `storage`; None for an asset that it did not materialize.

    Each method raises StorageError if what was stored cannot be read.
    """

    result: ExecuteInProcessResult
    storage: str

    def dataset(self) -> "StoredFrame | None":
        """Read the rows again, a column at a time: a million of them take half a gigabyte."""
        path = self._path(FEEDBACK_DATASET)
        if path is None:
            return None
        return FrameIOManager(self.storage).stored(location(self.storage) / path, _name(FEEDBACK_DATASET))

    def data_version(self) -> str | None:
        """The digest of the dataset's rows, as the run recorded it."""
        made = self._made(FEEDBACK_DATASET)
        return (made.tags or {}).get(DATA_VERSION) if made else None

    def trained(self) -> TrainedModel | None:
        """Read the record of the trained model."""
        return self._record(TRAINED_MODEL, TrainedModel)

    def report(self) -> EvaluationReport | None:
        """Read the evaluation report."""
        return self._record(EVALUATION_REPORT, EvaluationReport)

    def _record(self, asset: AssetKey, kind: type[R]) -> R | None:
        path = self._path(asset)
        if path is None:
            return None
        return RecordIOManager(self.storage).read(location(self.storage) / path, _name(asset), kind)

    def _path(self, asset: AssetKey) -> str | None:
        made = self._made(asset)
        return str(made.metadata[FILE].value) if made else None

    def _made(self, asset: AssetKey) -> AssetMaterialization | None:
        for event in self.result.get_asset_materialization_events():
            if event.asset_key == asset:
                return event.materialization
        return None


def _name(asset: AssetKey) -> str:
    return asset.to_user_string()
