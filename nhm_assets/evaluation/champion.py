"""The champion, asked about the candidate's rows; or why it is foreign and cannot be scored.

A foreign champion was put into Production by others: the platform did not register it, cannot load it, or does not
know its classes. It never breaks a run. What it means for the candidate is up to FOREIGN_CHAMPION.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nhm_assets.domain.errors import RegistryError
from nhm_assets.evaluation.learned import UNKNOWN, Learned
from nhm_assets.evaluation.predictions import champion_probabilities
from nhm_assets.registry.audit_log import registration
from nhm_assets.registry.model_files import differences

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection


@dataclass(frozen=True)
class ScoredChampion:
    """The version in Production.

    Attributes:
        probabilities: of the labels 0, 1, 2 for the rows that it was asked about; None if it cannot be scored.
        foreign: why it is foreign; None if it is a version of this platform.
        learned: what it has learned; of a foreign one, nobody knows that.
    """

    version: str
    probabilities: np.ndarray | None
    foreign: str | None
    learned: Learned = UNKNOWN


def score_champion(
    client: "MlflowClient",
    log: "Collection[dict[str, Any]]",
    champion: "ModelVersion",
    rows: pd.DataFrame,
    *,
    allow_unverified: bool,
) -> ScoredChampion:
    """Score the champion, or say why it is foreign.

    Args:
        client: of the registry.
        log: the audit log, which has an entry for each version of this platform.
        champion: the version in Production.
        rows: test rows of the candidate, and rows of its folds.
        allow_unverified: load a champion whose file cannot be verified.
    """
    model, version = champion.name, str(champion.version)
    foreign = []
    if registration(log, model, version) is None:
        foreign = ["this platform did not register it", *differences(model, version)]
        if not allow_unverified:
            return ScoredChampion(version, None, "; ".join(foreign))
    try:
        probabilities = champion_probabilities(client, log, model, version, rows, allow_unverified=allow_unverified)
    except RegistryError as error:
        return ScoredChampion(version, None, "; ".join([*foreign, str(error)]))
    return ScoredChampion(version, probabilities, "; ".join(foreign) or None)
