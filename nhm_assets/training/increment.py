"""An increment of the version that serves: what is frozen, what it learns, and its registration as a version."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from nhm_assets.domain.class_order import SERVED_ORDERS, ServedClasses, class_order
from nhm_assets.domain.dataset_schema import HYBRID
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.increment_records import Increment
from nhm_assets.domain.records import Calibration
from nhm_assets.estimators import increment
from nhm_assets.estimators.calibration import Fitted
from nhm_assets.registry.datasets import dataset_of
from nhm_assets.registry.model_files import loaded_model, verified_model
from nhm_assets.registry.recovery import champion_of
from nhm_assets.registry.versions import version_if_any
from nhm_assets.registry.vocabulary import (
    DATA_SOURCE_TAG,
    INCREMENT_OF_TAG,
    INCREMENT_TAG,
    LEARNED_UNTIL_TAG,
    PARAMETERS_TAG,
    SHA256_TAG,
)
from nhm_assets.settings import Settings
from nhm_assets.training.registration import log_fit, register
from nhm_assets.training.train import Trained, training_run
from nhm_assets.training.training_spec import TrainingSpec

if TYPE_CHECKING:
    from dagster import AssetExecutionContext
    from mlflow import MlflowClient
    from pymongo.collection import Collection

    from nhm_assets.registry.audit_log import Document
    from resources.mlflow import Mlflow

_NEEDED = (LEARNED_UNTIL_TAG, PARAMETERS_TAG, SHA256_TAG)


@dataclass(frozen=True)
class Frozen:
    """The version that an increment corrects. It learned in full: increments never build on each other.

    Attributes:
        version: its number.
        serves: whether what is in Production answers as it does; otherwise a correction of it does.
        estimator: loaded from its verified file.
        tags: of the version.
    """

    version: str
    serves: bool
    estimator: Any
    tags: dict[str, str]

    @property
    def learned_until(self) -> datetime:
        """Newest time among the rows that it learned."""
        return datetime.fromisoformat(self.tags[LEARNED_UNTIL_TAG])

    def spec(self, of: TrainingSpec) -> TrainingSpec:
        """What the increment is trained from, if a full training would be trained from `of`."""
        source = of.data_source if self.tags.get(DATA_SOURCE_TAG) == of.data_source else HYBRID
        how = {"rate": increment.RATE, "kept": increment.KEPT, "increment_of": self.version}
        return replace(of, data_source=source, parameters=how | {"frozen_sha256": self.tags[SHA256_TAG]})


def freeze(
    client: "MlflowClient", log: "Collection[Document]", model: str, served: ServedClasses, storage: str
) -> Frozen:
    """The version in Production, or the one that it is an increment of.

    Args:
        client: of the registry.
        log: the audit log, which has the digests of model files.
        model: name of the registered model.
        served: the order in which the specialists read the classes.
        storage: NHM_STORAGE. The gate looks up there whether scripts or a language model made rows that it learned.

    Raises:
        RegistryError: there is no version that can be frozen; the reason says why.
    """
    serving = champion_of(client, log, model)
    if serving is None:
        raise RegistryError(f"no version of {model} is in Production")
    number = serving.tags.get(INCREMENT_OF_TAG, str(serving.version))
    itself = number == str(serving.version)
    version = serving if itself else version_if_any(client, model, number)
    if version is None:
        raise RegistryError(f"{model} version {number}, which version {serving.version} corrects, was deleted")
    if missing := [tag for tag in _NEEDED if tag not in version.tags]:
        raise RegistryError(f"{model} version {number} lacks the tags {', '.join(missing)}")
    with verified_model(client, log, model, number) as files:
        try:
            estimator = loaded_model(files).get_raw_model()
            order = class_order(estimator.classes_)
        except Exception as error:
            raise RegistryError(f"{model} version {number} cannot be loaded here ({error})") from error
    if order != SERVED_ORDERS[served]:
        raise RegistryError(f"{model} version {number} answers the classes {order}, not {SERVED_ORDERS[served]}")
    if dataset_of(version, storage, ()) is None:
        raise RegistryError(f"the dataset that {model} version {number} learned can no longer be read in NHM_STORAGE")
    serves = itself or Increment.model_validate_json(serving.tags[INCREMENT_TAG]).fell_back
    return Frozen(number, serves, estimator, dict(version.tags))


def learn(frozen: Frozen, frame: pd.DataFrame, served: ServedClasses) -> tuple[Any, Increment] | str:
    """The estimator of the increment and how its correction did; or why there is nothing to register."""
    known, new = increment.rows_since(frame, frozen.learned_until)
    if new.empty:
        return f"no row to learn is newer than what version {frozen.version} has learned"
    estimator, prequential = increment.learn_increment(frozen.estimator, known, new, served=served)
    record = prequential.record(frozen.version)
    if record.fell_back and frozen.serves:
        return f"version {frozen.version} goes on serving, without a correction: {record.found}"
    return estimator, record


def train_increment(
    context: "AssetExecutionContext",
    mlflow: "Mlflow",
    client: "MlflowClient",
    frame: pd.DataFrame,
    spec: TrainingSpec,
    settings: Settings,
    frozen: Frozen,
) -> Trained | str:
    """Register an increment as a version, in an MLflow run of its own; or why there is nothing to register."""
    learned = learn(frozen, frame, settings.served_classes)
    if isinstance(learned, str):
        return learned
    (estimator, record), parameters = learned, json.loads(frozen.tags[PARAMETERS_TAG])
    context.log.info("%s", record.sentence)
    calibration = Calibration(method="none", reason=f"An increment keeps the calibrators of version {frozen.version}.")
    metrics = {
        "prequential_log_loss": record.log_loss,
        "prequential_log_loss_frozen": record.frozen_log_loss,
        "feedback_learned": record.feedback,
    }
    tags = {INCREMENT_OF_TAG: frozen.version, INCREMENT_TAG: record.model_dump_json()}
    with training_run(context, mlflow, frame, spec, settings) as run:
        log_fit(run, parameters | spec.parameters, calibration, metrics)
        return Trained(register(run, client, Fitted(estimator, calibration), frame, spec, parameters, tags))
