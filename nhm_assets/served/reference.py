"""The reference of a version: what it learned, kept with its MLflow run when it is promoted.

Whoever first needs the reference of a version makes it from its dataset. So versions of earlier releases get theirs,
too.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, TEST
from nhm_assets.domain.errors import DataError, RegistryError
from nhm_assets.domain.frame_views import columns, taken
from nhm_assets.drift.baseline import (
    CONFIDENCE,
    RISK,
    Baseline,
    background,
    feature_summaries,
    importance_list,
    real_rows,
)
from nhm_assets.drift.psi import IMPORTANT
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.evaluation.predictions import served_answers
from nhm_assets.registry.audit_log import AUDIT_LOG
from nhm_assets.registry.datasets import dataset_of
from nhm_assets.registry.versions import version_if_any
from nhm_assets.served.evaluated import report_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.database import Database

    from nhm_assets.settings import Settings

Document = dict[str, Any]

BASELINES: Final = "ml_feature_baselines"
_BASELINE: Final = "drift/baseline.json"


@dataclass(frozen=True)
class References:
    """Reads references, and makes those that do not exist yet."""

    client: "MlflowClient"
    database: "Database[Document]"
    settings: "Settings"
    now: datetime
    warn: Callable[[str], None]

    def of(self, model: str, number: str) -> Baseline:
        """The baseline of a version.

        Raises:
            DataError: it is no version of this platform, or its dataset is gone.
        """
        version = version_if_any(self.client, model, number)
        if version is None:
            raise DataError(f"{model} version {number} does not exist in MLflow")
        return self._stored(version) or self._made(version)

    def _stored(self, version: "ModelVersion") -> Baseline | None:
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as folder:
            try:
                if not any(one.path == _BASELINE for one in self.client.list_artifacts(version.run_id, "drift")):
                    return None
                path = self.client.download_artifacts(version.run_id, _BASELINE, folder)
                return Baseline.model_validate_json(Path(path).read_bytes())
            except (MlflowException, OSError, ValueError) as error:
                self.warn(f"the baseline of {version.name} version {version.version} is made again ({error})")
                return None

    def _made(self, version: "ModelVersion") -> Baseline:
        dataset = dataset_of(version, self.settings.storage, ("source", "split", "label", *FEATURE_NAMES))
        if dataset is None:
            raise DataError(f"the dataset that {version.name} version {version.version} learned cannot be read")
        frame = dataset.frame
        learned = learning_rows(frame)
        log, storage = self.database[AUDIT_LOG], self.settings.storage
        report = report_of(log, storage, version.name, str(version.version))
        importances = report.importances if report else {}
        answers = self._answers(version, taken(frame, frame["split"] == TEST))
        baseline = Baseline.of(learned, answers, importances, top=IMPORTANT)
        stored = [
            self._store(f"{BASELINES} of {version.name}", version, lambda: self._record(version, learned, baseline)),
            self._store(
                f"drift and explain artifacts of {version.name}",
                version,
                lambda: self._log(version, learned, importances),
            ),
        ]
        if all(stored):
            # It says that all are there: without it, they are made again next time.
            self._store(f"baseline of {version.name}", version, lambda: self._log_baseline(version, baseline))
        return baseline

    def _store(self, what: str, version: "ModelVersion", store: Callable[[], None]) -> bool:
        """Store a part; False, with a warning, if that fails: the baseline is there all the same."""
        try:
            store()
        except Exception as error:  # noqa: BLE001 - as above
            self.warn(f"{what} version {version.version} could not be stored: {error}")
            return False
        return True

    def _answers(self, version: "ModelVersion", unseen: pd.DataFrame) -> dict[str, np.ndarray]:
        """What it answers about rows that it has not learned; nothing if it cannot be asked.

        If a service is down, its error passes: otherwise the baseline would lack the answers for good.
        """
        try:
            answers = served_answers(
                self.client,
                self.database[AUDIT_LOG],
                version.name,
                str(version.version),
                unseen,
                served=self.settings.served_classes,
                allow_unverified=self.settings.allow_unverified_champion,
            )
        except RegistryError as error:
            # Features and labels can be compared without it.
            self.warn(f"{version.name} version {version.version} cannot be asked about its test rows ({error})")
            return {}
        return {CONFIDENCE: answers.confidence, RISK: answers.risk}

    def _log(self, version: "ModelVersion", learned: pd.DataFrame, importances: dict[str, float]) -> None:
        """Add the artifacts to the version's MLflow run, but for the baseline."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "drift").mkdir()
            (folder / "explain").mkdir()
            columns(real_rows(learned), FEATURE_NAMES).to_parquet(folder / "drift/reference.parquet", index=False)
            background(learned).to_parquet(folder / "explain/background.parquet", index=False)
            listed = importance_list(learned, importances)
            (folder / "explain/importances.json").write_text(json.dumps(listed, indent=2))
            self.client.log_artifacts(version.run_id, name)

    def _log_baseline(self, version: "ModelVersion", baseline: Baseline) -> None:
        self.client.log_text(version.run_id, baseline.model_dump_json(indent=2), _BASELINE)

    def _record(self, version: "ModelVersion", learned: pd.DataFrame, baseline: Baseline) -> None:
        """The document of a version in `ml_feature_baselines`; an older one by its number is replaced."""
        document = {
            "model_name": version.name,
            "version": str(version.version),
            "timestamp": self.now,
            "features": feature_summaries(learned),
            "target_distribution": dict(zip(CLASS_NAMES, baseline.labels.counts, strict=True)),
            "sample_count": baseline.rows,
        }
        where = {"_id": f"nhm:{version.name}:{version.version}"}
        self.database[BASELINES].replace_one(where, document, upsert=True)
