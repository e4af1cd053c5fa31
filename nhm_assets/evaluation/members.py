"""The members of an ensemble beside the whole, on the same test rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from nhm_assets.domain.class_order import by_label, own_order
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.domain.records import Metrics, TrainedModel
from nhm_assets.estimators.families import family_of, members_of
from nhm_assets.evaluation.metrics import compute_metrics, predict_labels
from nhm_assets.evaluation.paired_counts import f1_difference, one_hot
from nhm_assets.evaluation.report import held_out_rows
from nhm_assets.registry.audit_log import Document
from nhm_assets.registry.model_files import loaded_model, verified_model

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

WHOLE: Final = "whole"
MEMBER_COLUMNS: Final = ("model", "precision", "recall", "F1", "Brier score")


@dataclass(frozen=True)
class Members:
    """An ensemble and its members on the test rows.

    Attributes:
        metrics: by member, and of the ensemble as `whole`; members are not calibrated.
        best: the member with the greatest F1.
        difference, standard_error: F1 of the ensemble minus that of this member, on the same rows.
    """

    metrics: Mapping[str, Metrics]
    best: str
    difference: float
    standard_error: float

    @property
    def is_worth_it(self) -> bool:
        """Whether the ensemble is better than its best member by more than the standard error."""
        return self.difference > self.standard_error

    @property
    def sentence(self) -> str:
        """How the ensemble compares with its best member, and what follows."""
        found = f"F1 of the ensemble minus that of its best member, {self.best}: {self.difference:+.3f}"
        more = f"{found} (standard error {self.standard_error:.3f})."
        if self.is_worth_it:
            return f"The ensemble is better than each of its members. {more}"
        return f"The ensemble is not clearly better than its best member: MODEL_FAMILY={self.best} would do. {more}"

    def rows(self) -> list[tuple[object, ...]]:
        """A row for the ensemble and for each member: name, precision, recall, F1, Brier score."""
        return [(name, one.precision, one.recall, one.f1, one.brier) for name, one in self.metrics.items()]


def candidates_members(
    client: "MlflowClient", log: "Collection[Document]", frame: pd.DataFrame, trained: TrainedModel
) -> Members | None:
    """The members of the candidate on its test rows; None if it is a single model, or an increment.

    Raises:
        RegistryError: it cannot be verified.
        DataError: see `held_out_rows`.
    """
    if trained.increment or not family_of(trained.parameters).ensemble:
        return None
    with verified_model(client, log, trained.model, trained.version) as files:
        model = loaded_model(files).get_raw_model()
    return judge_members(model, trained.parameters, held_out_rows(frame, trained))


def judge_members(model: Any, parameters: Mapping[str, Any], rows: pd.DataFrame) -> Members | None:
    """The members of a model of these parameters on these rows; None if it has none."""
    members = members_of(model, parameters)
    if not members:
        return None
    features, labels = rows[list(FEATURE_NAMES)], rows["label"].to_numpy()
    order = own_order(model)
    answers = {name: by_label(one.predict_proba(features), order) for name, one in ({WHOLE: model} | members).items()}
    metrics = {name: compute_metrics(labels, answer) for name, answer in answers.items()}
    best = max(members, key=lambda name: metrics[name].f1)
    whole, single = (predict_labels(answers[name]) == APPROVE for name in (WHOLE, best))
    ours, theirs, error = f1_difference(one_hot(labels == APPROVE, whole, single).sum(axis=0))
    return Members(metrics, best, float(ours - theirs), float(error))
