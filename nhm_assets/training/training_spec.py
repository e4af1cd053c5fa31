"""What a model is trained from: partition, data, code and parameters, and their fingerprint."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from nhm_assets.domain.dataset_schema import REAL, counts, data_version
from nhm_assets.domain.frame_views import taken
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.registry import vocabulary


@dataclass(frozen=True)
class TrainingSpec:
    """Everything that decides what a model becomes: equal specs result in equal models.

    Attributes:
        window: the days of feedback that the model learns from.
        parameters: given to the fit, or to the search for its parameters.
        rows: number of rows by split.
        learned_until: newest `submitted_at` among the rows that the model learns; None without such rows. It follows
            from the data, so it is not part of the fingerprint.
        dagster_run_id: the run that trains; not part of the fingerprint.
        attempts: this Dagster run and the earlier ones that it retries; not part of the fingerprint.
    """

    partition: Partition
    window: Window
    data_version: str
    data_source: str
    code_version: str
    parameters: dict[str, Any]
    rows: dict[str, int]
    learned_until: datetime | None
    dagster_run_id: str
    attempts: frozenset[str]

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        partition: Partition,
        *,
        code_version: str,
        parameters: dict[str, Any],
        dagster_run_id: str,
        attempts: frozenset[str] = frozenset(),
    ) -> "TrainingSpec":
        """The spec for a stored dataset; its `attrs` carry the window and the data source."""
        start, end = map(datetime.fromisoformat, frame.attrs["window"])
        return cls(
            partition=partition,
            window=Window(start, end),
            data_version=data_version(frame),
            data_source=frame.attrs["data_source"],
            code_version=code_version,
            parameters=parameters,
            rows=counts(frame["split"]),
            learned_until=_learned_until(frame),
            dagster_run_id=dagster_run_id,
            attempts=attempts | {dagster_run_id},
        )

    @property
    def fingerprint(self) -> str:
        """32 hex digits over partition, data, code and parameters."""
        content = [str(self.partition.key), self.data_version, self.code_version, self.parameters]
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()

    def tags(self) -> dict[str, str]:
        """Tags of the MLflow run and of the version: the whole TrainedModel except for the model file."""
        known = {vocabulary.LEARNED_UNTIL_TAG: self.learned_until.isoformat()} if self.learned_until else {}
        return known | {
            vocabulary.PARTITION_TAG: str(self.partition.key),
            vocabulary.WINDOW_START_TAG: self.window.start.isoformat(),
            vocabulary.WINDOW_END_TAG: self.window.end.isoformat(),
            vocabulary.DATA_VERSION_TAG: self.data_version,
            vocabulary.DATA_SOURCE_TAG: self.data_source,
            vocabulary.CODE_VERSION_TAG: self.code_version,
            vocabulary.ROWS_TAG: json.dumps(self.rows),
            vocabulary.FINGERPRINT_TAG: self.fingerprint,
            vocabulary.DAGSTER_RUN_TAG: self.dagster_run_id,
        }


def _learned_until(frame: pd.DataFrame) -> datetime | None:
    """Synthetic rows do not count beside real ones: they are spread over the whole window, and nobody reviewed them."""
    learned = learning_rows(frame)
    real = taken(learned, learned["source"] == REAL)
    times = (learned if real.empty else real)["submitted_at"]
    return None if times.empty else times.max().to_pydatetime()
