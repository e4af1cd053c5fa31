"""The folds: the candidate's estimator, fitted on older rows and asked about the ones after them.

A fold shows how the same recipe did on more rows than the test has. It is never registered and never serves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import by_label, own_order
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.domain.fold_records import Fold
from nhm_assets.domain.frame_views import renumbered, taken
from nhm_assets.domain.segments import TEST_SEGMENT, segments_of
from nhm_assets.evaluation.gate_rules import MIN_ROWS_PER_CLASS, enough_of_each
from nhm_assets.evaluation.metrics import confusion, predict_labels
from nhm_assets.evaluation.posteriors import Calls

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Fit = Callable[[pd.DataFrame], "ClassifierMixin"]
"""Fits the candidate's estimator on these rows, with its parameters and its seed."""

SEGMENT = "segment"
_TUNED_ON = 2
"""The segment that the search for hyperparameters is scored on."""


@dataclass(frozen=True)
class PooledRows:
    """The rows of the test and of the folds that count, in the order of the dataset, and what models call them.

    Attributes:
        rows: the rows themselves.
        segment: of each row.
        plan_ids: of each row; rows of a plan belong together.
        labels: whether each row is labelled approve.
        candidate: whether the candidate calls it approve; on the rows of a fold, that fold's model.
        champion: whether the champion calls it approve; None if there is none that can be asked.
        fair: whether the champion has not learned the row; without a champion, the test rows.
    """

    rows: pd.DataFrame
    segment: np.ndarray
    plan_ids: np.ndarray
    labels: Calls
    candidate: Calls
    champion: Calls | None
    fair: np.ndarray

    @property
    def test(self) -> np.ndarray:
        """Whether each row is a test row."""
        return self.segment == TEST_SEGMENT


def asked_rows(frame: pd.DataFrame, folds: int) -> pd.DataFrame:
    """The test rows and the rows of the newest folds, in the order of the dataset, with the column `segment`.

    Args:
        frame: the dataset.
        folds: number of folds: with 1, only the one before the test rows.
    """
    segments = segments_of(frame)
    asked = segments >= TEST_SEGMENT - folds
    return renumbered(taken(frame, asked), **{SEGMENT: segments[asked].to_numpy()})


def fit_folds(
    frame: pd.DataFrame, fit: Fit, *, folds: int, tuned: bool, frozen: str | None = None
) -> tuple[list[Fold], dict[int, np.ndarray]]:
    """Fit the folds and ask them.

    Args:
        frame: the dataset.
        fit: the candidate's estimator.
        folds: number of folds, counted from the newest.
        tuned: whether the parameters were chosen on the validation rows.
        frozen: number of the version that an increment corrects, which cannot be fitted on older rows alone.

    Returns:
        A record per fold, and for each fold that counts the labels that it predicts for the rows of its segment.
    """
    segments = segments_of(frame)
    records: list[Fold] = []
    predicted: dict[int, np.ndarray] = {}
    for number in range(TEST_SEGMENT - folds, TEST_SEGMENT):
        learned, tested = taken(frame, segments < number), taken(frame, segments == number)
        labels = tested["label"].to_numpy()
        sizes = {"number": number, "learned_rows": len(learned), "tested_rows": len(tested)}
        if reason := _frozen(frozen) or _left_out(number, learned, labels, tuned=tuned):
            records.append(Fold(**sizes, left_out=reason))
            continue
        model = fit(learned)
        answers = model.predict_proba(tested[list(FEATURE_NAMES)])
        predicted[number] = predict_labels(by_label(answers, own_order(model)))
        records.append(Fold(**sizes, confusion=confusion(labels, predicted[number])))
    return records, predicted


def _frozen(version: str | None) -> str:
    return f"the candidate is an increment of version {version}, which is not fitted again" if version else ""


def _left_out(number: int, learned: pd.DataFrame, labels: np.ndarray, *, tuned: bool) -> str:
    """Why a fold does not count; empty if it counts."""
    approvals = int((labels == APPROVE).sum())
    if tuned and number == _TUNED_ON:
        return "a search was scored on its rows (HYPERPARAMETER_TUNING, MODEL_FAMILY)"
    if not enough_of_each(len(labels), approvals):
        return (
            f"{approvals} of its {len(labels)} rows are approve; {MIN_ROWS_PER_CLASS} that are and"
            f" {MIN_ROWS_PER_CLASS} that are not are required"
        )
    if set(learned["label"]) <= {APPROVE} or APPROVE not in set(learned["label"]):
        return "the rows before it do not contain approve and another class"
    return ""
