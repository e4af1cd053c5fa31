"""A report with its folds: what the test rows and the folds together say of candidate, champion and reference."""

from typing import Literal

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.fold_records import Fold, Reference
from nhm_assets.domain.frame_views import renumbered, taken
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.domain.segments import TEST_SEGMENT
from nhm_assets.evaluation.champion import ScoredChampion
from nhm_assets.evaluation.folds import SEGMENT, PooledRows
from nhm_assets.evaluation.gate_rules import GateRules, enough_of_each
from nhm_assets.evaluation.learned import UNKNOWN
from nhm_assets.evaluation.metrics import predict_labels
from nhm_assets.evaluation.posteriors import Calls, Difference, count_calls, f1_difference

ComparedOn = Literal["new", "test"]


def pool(
    asked: pd.DataFrame, candidate: np.ndarray, predicted: dict[int, np.ndarray], champion: ScoredChampion | None
) -> PooledRows:
    """The test rows and the rows of the folds that count.

    Args:
        asked: the rows that the champion was asked about, with their segment.
        candidate: the candidate's probabilities for the test rows.
        predicted: labels that the fold of each segment predicts for its rows.
        champion: the version in Production; None if there is none.
    """
    segment = asked[SEGMENT].to_numpy()
    labels = np.zeros(len(asked), dtype="int64")
    for number, answers in {**predicted, TEST_SEGMENT: predict_labels(candidate)}.items():
        labels[segment == number] = answers
    kept = np.isin(segment, [*predicted, TEST_SEGMENT])
    learned = champion.learned if champion else UNKNOWN
    probabilities = champion.probabilities if champion else None
    return PooledRows(
        rows=renumbered(taken(asked, kept)),
        segment=segment[kept],
        plan_ids=asked["plan_id"][kept].to_numpy(),
        labels=(asked["label"].to_numpy() == APPROVE)[kept],
        candidate=(labels == APPROVE)[kept],
        champion=None if probabilities is None else (predict_labels(probabilities) == APPROVE)[kept],
        fair=learned.is_new(asked)[kept],
    )


def compared_rows(rows: PooledRows, fair: np.ndarray, *, min_rows: int) -> tuple[np.ndarray, ComparedOn]:
    """Whether each row counts if the candidate is compared with another version.

    If the rows that this version has not learned are fewer than `min_rows` (MIN_TEST_ROWS), the test rows alone count,
    without those that it has learned. If even these are too few, all test rows count.

    Args:
        rows: of the test and of the folds.
        fair: whether the other version has not learned each row.
        min_rows: below it, the rows are too few.
    """
    if fair.sum() >= min_rows:
        return fair, "new"
    return (fair & rows.test if enough_to_compare(rows, fair) else rows.test), "test"


def compare(rows: PooledRows, rival: Calls, chosen: np.ndarray) -> Difference:
    """The candidate against another version on the chosen rows; `rival` is what that version calls each row."""
    return f1_difference(rows.labels[chosen], rows.candidate[chosen], rival[chosen])


def enough_to_compare(rows: PooledRows, fair: np.ndarray) -> bool:
    """Whether enough test rows are new to a version."""
    new = fair & rows.test
    return enough_of_each(int(new.sum()), int(rows.labels[new].sum()))


def with_folds(
    report: EvaluationReport, rows: PooledRows, folds: list[Fold], reference: Reference | None
) -> EvaluationReport:
    """The report with what the folds say."""
    found = {"folds": folds, "pooled": count_calls(rows.labels, rows.candidate), "reference": reference}
    return report.model_copy(update=found)


def with_comparison(
    report: EvaluationReport, rows: PooledRows, rules: GateRules
) -> tuple[EvaluationReport, np.ndarray | None]:
    """The report with the comparison with the champion, and the rows that it is of; None if nothing is compared."""
    new_rows = report.new_rows
    if rows.champion is None or new_rows is None:
        return report, None
    enough = rows.fair.sum() >= rules.min_test_rows or enough_to_compare(rows, rows.fair)
    if new_rows.newer_window and not enough:
        # The candidate is superseded anyway.
        return report, None
    chosen, compared_on = compared_rows(rows, rows.fair, min_rows=rules.min_test_rows)
    difference = compare(rows, rows.champion, chosen)
    found = {
        "fair_rows": difference.rows,
        "difference": difference.difference,
        "standard_error": difference.standard_error,
        "compared_on": compared_on,
    }
    return report.model_copy(update=found), chosen
