"""The evaluation report: candidate, champion and baselines on the same test rows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE, SYNTHETIC, TEST, data_version
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.records import Champion, Comparison, EvaluationReport, TrainedModel
from nhm_assets.evaluation.metrics import CLASSES, baseline_f1, brier, compute_metrics, intervals, mcnemar


def held_out_rows(frame: pd.DataFrame, trained: TrainedModel) -> pd.DataFrame:
    """The rows to test on, of exactly the dataset that the model was made from.

    Raises:
        DataError: the dataset is another one, or has no test rows.
    """
    found = data_version(frame)
    if found != trained.data_version:
        raise DataError(
            f"{trained.model} version {trained.version} was trained on data version {trained.data_version}, stored is"
            f" {found}: the dataset of {trained.specialist} {trained.week} was made again since. Materialize"
            " trained_model for it first"
        )
    rows = frame[frame["split"] == TEST]
    if rows.empty:
        raise DataError(f"the dataset of {trained.specialist} {trained.week} has no test rows")
    return rows.reset_index(drop=True)


def build_report(
    frame: pd.DataFrame,
    trained: TrainedModel,
    candidate: np.ndarray,
    *,
    importances: Mapping[str, float],
    champion: tuple[str, np.ndarray] | None,
) -> EvaluationReport:
    """Measure and compare.

    Args:
        frame: the dataset.
        trained: the candidate.
        candidate: its probabilities for the test rows, shape (n, 3).
        importances: by feature.
        champion: number and probabilities, for the same rows, of the version in Production.
    """
    tested = held_out_rows(frame, trained)
    learned = frame[frame["split"] != TEST]
    labels = tested["label"].to_numpy()
    class_shares = np.array([(learned["label"] == label).mean() for label in CLASSES])
    return EvaluationReport(
        **trained.model_dump(
            include={
                "specialist",
                "week",
                "window_start",
                "window_end",
                "model",
                "version",
                "run_id",
                "data_version",
                "code_version",
                "data_source",
            }
        ),
        test_rows=len(tested),
        test_approvals=int((labels == APPROVE).sum()),
        synthetic_test=bool((tested["source"] == SYNTHETIC).any()),
        candidate=compute_metrics(labels, candidate),
        intervals=intervals(labels, candidate)[0],
        champion=_compare(labels, candidate, *champion) if champion else None,
        baseline_f1=baseline_f1(learned, tested),
        prior_brier=brier(labels, np.tile(class_shares, (len(labels), 1))),
        importances=dict(importances),
    )


def _compare(labels: np.ndarray, candidate: np.ndarray, version: str, champion: np.ndarray) -> Champion:
    only_candidate, only_champion, p_value = mcnemar(labels, candidate, champion)
    return Champion(
        version=version,
        metrics=compute_metrics(labels, champion),
        comparison=Comparison(
            only_candidate_right=only_candidate,
            only_champion_right=only_champion,
            mcnemar_p=p_value,
            differences=intervals(labels, candidate, champion)[1],
        ),
    )
