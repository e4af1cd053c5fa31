"""The evaluation report: candidate, champion and baselines on the same test rows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE, SCRIPTED, SYNTHETIC, TEST, data_version
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.records import Champion, Comparison, EvaluationReport, ForeignChampion, TrainedModel
from nhm_assets.evaluation.champion import ScoredChampion
from nhm_assets.evaluation.metrics import CLASSES, baseline_f1, brier, compute_metrics, intervals, mcnemar

_SHARED = (TrainedModel.model_fields.keys() & EvaluationReport.model_fields.keys()) - {"schema_version"}
"""What a report says about its version as `trained_model` does. Each record has a schema of its own."""


def held_out_rows(frame: pd.DataFrame, trained: TrainedModel) -> pd.DataFrame:
    """The test rows of exactly the dataset that the model was trained on.

    Raises:
        DataError: it is another dataset, or it has no test rows.
    """
    stored = data_version(frame)
    if stored != trained.data_version:
        raise DataError(
            f"{trained.model} version {trained.version} was trained on data version {trained.data_version}, but the"
            f" stored dataset has {stored}: the dataset of {trained.specialist} {trained.week} was rebuilt after the"
            " training. Materialize trained_model for it first"
        )
    rows = frame[frame["split"] == TEST]
    if rows.empty:
        raise DataError(f"the dataset of {trained.specialist} {trained.week} has no test rows: wait for more feedback")
    return rows.reset_index(drop=True)


def build_report(
    frame: pd.DataFrame,
    trained: TrainedModel,
    candidate: np.ndarray,
    *,
    importances: Mapping[str, float],
    champion: ScoredChampion | None,
) -> EvaluationReport:
    """Compute the metrics of candidate and champion, and compare them.

    Args:
        frame: the dataset.
        trained: the candidate.
        candidate: its probabilities for the test rows, shape (n, 3).
        importances: by feature.
        champion: the version in Production, on the same rows; None if there is none.
    """
    test_rows = held_out_rows(frame, trained)
    training_rows = frame[frame["split"] != TEST]
    labels, plans = test_rows["label"].to_numpy(), test_rows["plan_id"].to_numpy()
    class_frequencies = np.array([(training_rows["label"] == label).mean() for label in CLASSES])
    return EvaluationReport(
        **trained.model_dump(include=_SHARED),
        test_rows=len(test_rows),
        test_approvals=int((labels == APPROVE).sum()),
        synthetic_test=bool((test_rows["source"] == SYNTHETIC).any()),
        scripted_rows=int((frame["provenance"] == SCRIPTED).sum()),
        candidate=compute_metrics(labels, candidate),
        intervals=intervals(labels, candidate, plans=plans)[0],
        champion=_compare(labels, plans, candidate, champion),
        compared_with=champion.version if champion else None,
        foreign_champion=ForeignChampion(version=champion.version, reason=champion.foreign)
        if champion and champion.foreign
        else None,
        baseline_f1=baseline_f1(training_rows, test_rows),
        prior_brier=brier(labels, np.tile(class_frequencies, (len(labels), 1))),
        importances=dict(importances),
    )


def _compare(
    labels: np.ndarray, plans: np.ndarray, candidate: np.ndarray, champion: ScoredChampion | None
) -> Champion | None:
    if champion is None or champion.probabilities is None:
        return None
    only_candidate, only_champion, p_value = mcnemar(labels, candidate, champion.probabilities)
    return Champion(
        version=champion.version,
        metrics=compute_metrics(labels, champion.probabilities),
        comparison=Comparison(
            only_candidate_right=only_candidate,
            only_champion_right=only_champion,
            mcnemar_p=p_value,
            differences=intervals(labels, candidate, champion.probabilities, plans=plans)[1],
        ),
    )
