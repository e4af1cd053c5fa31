"""The evaluation report: candidate, champion and baselines on the same test rows."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE, LLM, SCRIPTED, SYNTHETIC, TEST, data_version
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.fold_records import FairRows, NewRows
from nhm_assets.domain.frame_views import taken
from nhm_assets.domain.records import Champion, Comparison, EvaluationReport, ForeignChampion, TrainedModel
from nhm_assets.evaluation.champion import ScoredChampion
from nhm_assets.evaluation.curves import curves_of
from nhm_assets.evaluation.metrics import (
    CLASSES,
    baseline_f1,
    brier,
    compute_metrics,
    intervals,
    mcnemar,
    predict_labels,
)
from nhm_assets.evaluation.posteriors import count_calls

_SHARED = (TrainedModel.model_fields.keys() & EvaluationReport.model_fields.keys()) - {"schema_version"}
"""What a report says about its version as `trained_model` does. Each record has a schema of its own."""


def held_out_rows(frame: pd.DataFrame, trained: TrainedModel, *, fair: pd.Series | None = None) -> pd.DataFrame:
    """The test rows of exactly the dataset that the model was trained on.

    Args:
        frame: the dataset.
        trained: the model.
        fair: of an increment, whether its frozen version has not learned each row of the dataset; others are left out.

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
    rows = taken(frame, (frame["split"] == TEST) & (True if fair is None else fair))
    if rows.empty:
        raise DataError(f"the dataset of {trained.specialist} {trained.week} has no test rows: wait for more feedback")
    return rows.reset_index(drop=True)


def baseline_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that dummy classifiers learn: those of the model, without rows that a language model made.

    Otherwise a file of made-up rows would move what a candidate must beat.
    """
    return taken(frame, (frame["split"] != TEST) & (frame["source"] != LLM))


def build_report(
    frame: pd.DataFrame,
    trained: TrainedModel,
    candidate: np.ndarray,
    *,
    importances: Mapping[str, float],
    champion: ScoredChampion | None,
    asked: pd.DataFrame | None = None,
    fair: pd.Series | None = None,
    frozen_rows: pd.DataFrame | None = None,
) -> EvaluationReport:
    """Compute the metrics of candidate and champion, and compare them.

    Args:
        frame: the dataset.
        trained: the candidate.
        candidate: its probabilities for the test rows, shape (n, 3).
        importances: by feature.
        champion: the version in Production; None if there is none.
        asked: the rows that the champion was asked about, with all test rows among them; None: the test rows alone.
        fair: see `held_out_rows`.
        frozen_rows: of an increment, the dataset of its frozen version, whose answers it passes on: what scripts and
            language models made there counts, too.
    """
    test_rows = held_out_rows(frame, trained, fair=fair)
    champions_rows = test_rows if asked is None else asked
    training_rows = baseline_rows(frame)
    labels, plans = test_rows["label"].to_numpy(), test_rows["plan_id"].to_numpy()
    class_frequencies = np.array([(training_rows["label"] == label).mean() for label in CLASSES])
    return EvaluationReport(
        **trained.model_dump(include=_SHARED),
        test_rows=len(test_rows),
        test_approvals=int((labels == APPROVE).sum()),
        synthetic_test=bool((test_rows["source"] == SYNTHETIC).any()),
        scripted_rows=_count("provenance", SCRIPTED, frame, frozen_rows),
        llm_rows=_count("source", LLM, frame, frozen_rows),
        candidate=compute_metrics(labels, candidate),
        intervals=intervals(labels, candidate, plans=plans)[0],
        champion=_compare(labels, plans, candidate, champion, champions_rows),
        compared_with=champion.version if champion else None,
        foreign_champion=ForeignChampion(version=champion.version, reason=champion.foreign)
        if champion and champion.foreign
        else None,
        baseline_f1=baseline_f1(training_rows, test_rows),
        prior_brier=brier(labels, np.tile(class_frequencies, (len(labels), 1))),
        importances=dict(importances),
        new_rows=_new_rows(candidate, champion, champions_rows),
        curves=curves_of(test_rows, candidate),
    )


def _count(column: str, value: str, frame: pd.DataFrame, frozen_rows: pd.DataFrame | None) -> int:
    """Rows with this value in a column, each feedback once."""
    count = int((frame[column] == value).sum())
    if frozen_rows is None:
        return count
    others = ~frozen_rows["feedback_id"].isin(frame["feedback_id"])
    return count + int((others & (frozen_rows[column] == value)).sum())


def _compare(
    labels: np.ndarray,
    plans: np.ndarray,
    candidate: np.ndarray,
    champion: ScoredChampion | None,
    asked: pd.DataFrame,
) -> Champion | None:
    if champion is None or champion.probabilities is None:
        return None
    probabilities = champion.probabilities[_is_test(asked)]
    only_candidate, only_champion, p_value = mcnemar(labels, candidate, probabilities)
    return Champion(
        version=champion.version,
        metrics=compute_metrics(labels, probabilities),
        comparison=Comparison(
            only_candidate_right=only_candidate,
            only_champion_right=only_champion,
            mcnemar_p=p_value,
            differences=intervals(labels, candidate, probabilities, plans=plans)[1],
        ),
    )


def _new_rows(candidate: np.ndarray, champion: ScoredChampion | None, asked: pd.DataFrame) -> NewRows | None:
    if champion is None or champion.probabilities is None:
        return None
    learned, new, test = champion.learned, champion.learned.is_new(asked), _is_test(asked)
    approved = asked["label"].to_numpy() == APPROVE
    called = predict_labels(champion.probabilities) == APPROVE
    candidates = predict_labels(candidate) == APPROVE
    return NewRows(
        learned_until=learned.until,
        learned_by=learned.by,
        newer_window=learned.newer,
        test=_fair_rows(approved[test], candidates, called[test], new[test]),
        pooled=count_calls(approved[new], called[new]),
    )


def _is_test(rows: pd.DataFrame) -> np.ndarray:
    return (rows["split"] == TEST).to_numpy()


def _fair_rows(labels: np.ndarray, candidate: np.ndarray, champion: np.ndarray, new: np.ndarray) -> FairRows | None:
    """Both models' calls on the test rows that are new to the champion; None if these are all."""
    if new.all():
        return None
    return FairRows(
        rows=int(new.sum()),
        approvals=int(labels[new].sum()),
        left_out=int((~new).sum()),
        f1=count_calls(labels[new], candidate[new]).f1,
        champion_f1=count_calls(labels[new], champion[new]).f1,
    )
