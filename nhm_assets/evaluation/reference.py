"""The reference: the version that was in Production some weeks ago, or the one that it was an increment of.

Each promotion may lose a little against the champion; many together must not lose much. See Feng, Emerson & Simon
(2021), Biometrics 77:31, on the creep of repeated approvals.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.fold_records import Reference
from nhm_assets.domain.records import TrainedModel
from nhm_assets.evaluation.folds import PooledRows
from nhm_assets.evaluation.gate_rules import GateRules
from nhm_assets.evaluation.learned import learned_by
from nhm_assets.evaluation.metrics import predict_labels
from nhm_assets.evaluation.pooling import compare, compared_rows
from nhm_assets.evaluation.posteriors import Calls
from nhm_assets.evaluation.predictions import champion_probabilities
from nhm_assets.registry.audit_log import Document
from nhm_assets.registry.recovery import version_at
from nhm_assets.registry.versions import version_if_any
from nhm_assets.registry.vocabulary import FILES_DELETED_TAG, INCREMENT_OF_TAG, ROLLED_BACK_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection


@dataclass(frozen=True)
class Compared:
    """The reference, and how it was compared.

    Attributes:
        reference: None if REFERENCE_WEEKS is 0.
        calls: whether it calls each row approve; None if it was not asked.
        rows: whether each row counts in the comparison.
    """

    reference: Reference | None = None
    calls: Calls | None = None
    rows: np.ndarray | None = None


def compare_with_reference(
    client: "MlflowClient",
    log: "Collection[Document]",
    trained: TrainedModel,
    champion: "ModelVersion | None",
    rows: PooledRows,
    rules: GateRules,
    storage: str,
) -> Compared:
    """The candidate against the reference, or why they are not compared."""
    weeks = rules.reference_weeks
    if not weeks:
        return Compared()
    number = version_at(log, trained.model, trained.window_end - timedelta(weeks=weeks))
    if number is None:
        return Compared(Reference(weeks=weeks, reason=f"no version was in Production {weeks} weeks before"))
    version, name = version_if_any(client, trained.model, number), f"version {number}"
    if version is not None and INCREMENT_OF_TAG in version.tags:
        # Increments would creep: each is close to the one before.
        number = version.tags[INCREMENT_OF_TAG]
        version, name = version_if_any(client, trained.model, number), f"version {number} (or an increment of it)"
    reason = _not_compared(number, name, version, champion, trained)
    if version is None or reason:
        return Compared(Reference(weeks=weeks, version=number, reason=reason))
    try:
        answers = champion_probabilities(client, log, trained.model, number, rows.rows, allow_unverified=False)
    except RegistryError as error:
        reason = f"{name}, in Production {weeks} weeks before, cannot be asked any more ({error})"
        return Compared(Reference(weeks=weeks, version=number, reason=reason))
    fair = learned_by(version, storage, candidate_end=trained.window_end).is_new(rows.rows)
    calls = predict_labels(answers) == APPROVE
    chosen, _ = compared_rows(rows, fair, min_rows=rules.min_test_rows)
    difference = compare(rows, calls, chosen)
    reference = Reference(weeks=weeks, version=number, rows=difference.rows, difference=difference.difference)
    return Compared(reference, calls, chosen)


def _not_compared(
    number: str, name: str, version: "ModelVersion | None", champion: "ModelVersion | None", trained: TrainedModel
) -> str:
    """Why the reference is not asked; empty if it is. Its `name` says what was in Production then."""
    if champion is not None and number == str(champion.version):
        return f"{name} was in Production then and is the champion now"
    if number == trained.version:
        return f"{name} was in Production then and is the candidate now"
    if version is None:
        return f"{name}, in Production then, was deleted"
    if ROLLED_BACK_TAG in version.tags:
        return f"{name}, in Production then, was rolled back ({version.tags[ROLLED_BACK_TAG]})"
    if FILES_DELETED_TAG in version.tags:
        return f"{name}, in Production then, has lost its files (KEEP_VERSIONS)"
    return ""
