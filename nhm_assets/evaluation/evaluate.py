"""One evaluation: candidate and champion on the test rows, and the folds where the first checks leave a doubt."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nhm_assets.domain.fold_records import Fold
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import AUTO, searched_for
from nhm_assets.evaluation.champion import ScoredChampion, score_champion
from nhm_assets.evaluation.doubt import Evidence, dummy_calls, with_doubt
from nhm_assets.evaluation.folds import asked_rows, fit_folds
from nhm_assets.evaluation.gate import GateRules, needs_folds
from nhm_assets.evaluation.learned import frozen_of, learned_by
from nhm_assets.evaluation.pooling import pool, with_comparison, with_folds
from nhm_assets.evaluation.predictions import candidate_probabilities
from nhm_assets.evaluation.reference import Compared, compare_with_reference
from nhm_assets.evaluation.report import baseline_rows, build_report, held_out_rows
from nhm_assets.registry.audit_log import Document
from nhm_assets.registry.datasets import dataset_of
from nhm_assets.registry.vocabulary import SEARCHED_TAG
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection


def evaluate(
    client: "MlflowClient",
    log: "Collection[Document]",
    frame: pd.DataFrame,
    trained: TrainedModel,
    champion: "ModelVersion | None",
    settings: Settings,
) -> EvaluationReport:
    """Evaluate the candidate on the dataset that it was trained on.

    Folds are fitted only if the first checks pass: they cost as much as the fit of the candidate itself.

    Flip rate and what would settle it are those of the settings now.
    """
    frozen = _frozen(client, frame, trained, settings)
    rows = held_out_rows(frame, trained, fair=frozen.fair)
    candidate, importances = candidate_probabilities(client, log, trained.model, trained.version, rows)
    # No check reads the importances, so another core computes them while this one does the rest.
    with ThreadPoolExecutor(1, thread_name_prefix="importances") as pool:
        measured = pool.submit(importances)
        report = _without_importances(client, log, frame, trained, champion, candidate, settings, frozen)
        return report.model_copy(update={"importances": measured.result()})


def _without_importances(
    client: "MlflowClient",
    log: "Collection[Document]",
    frame: pd.DataFrame,
    trained: TrainedModel,
    champion: "ModelVersion | None",
    candidate: np.ndarray,
    settings: Settings,
    frozen: "_Frozen",
) -> EvaluationReport:
    rules = GateRules.of(settings, trained.specialist)
    asked = asked_rows(frame if frozen.fair is None else frame[frozen.fair], rules.gate_folds)
    scored = _ask_champion(client, log, trained, champion, asked, settings)
    more: dict[str, Any] = {"asked": asked, "fair": frozen.fair, "frozen_rows": frozen.rows}
    report = build_report(frame, trained, candidate, importances={}, champion=scored, **more)
    against = Compared()
    if needs_folds(report, rules):
        folds, predicted = _fit_folds(client, frame, trained, settings)
        pooled = pool(asked, candidate, predicted, scored)
        against = compare_with_reference(client, log, trained, champion, pooled, rules, settings.storage)
        report = with_folds(report, pooled, folds, against.reference)
    else:
        pooled = pool(asked, candidate, {}, scored)
    report, compared = with_comparison(report, pooled, rules)
    dummies = dummy_calls(baseline_rows(frame), pooled)
    return with_doubt(report, Evidence(pooled, compared, against.calls, against.rows, dummies), rules)


@dataclass(frozen=True)
class _Frozen:
    """What the frozen version of an increment has learned; nothing for a version that learned in full.

    Attributes:
        fair: whether it has not learned each row of the candidate's dataset. A newer feedback may concern a plan that
            it knows: as a test row, it would flatter the increment.
        rows: its own dataset.
    """

    fair: pd.Series | None = None
    rows: pd.DataFrame | None = None


def _frozen(client: "MlflowClient", frame: pd.DataFrame, trained: TrainedModel, settings: Settings) -> _Frozen:
    if trained.increment is None:
        return _Frozen()
    frozen = client.get_model_version(trained.model, trained.increment.frozen)
    learned = learned_by(frozen, settings.storage, candidate_end=trained.window_end)
    dataset = dataset_of(frozen, settings.storage, ("feedback_id", "source", "provenance"))
    return _Frozen(pd.Series(learned.is_new(frame), index=frame.index), dataset.frame if dataset else None)


def _fit_folds(
    client: "MlflowClient", frame: pd.DataFrame, trained: TrainedModel, settings: Settings
) -> tuple[list[Fold], dict[int, np.ndarray]]:
    segments = segments_of(frame)

    def fit(learned: pd.DataFrame) -> Any:
        return fit_estimator(
            learned,
            trained.parameters,
            threads=settings.training_threads,
            segments=segments[learned.index],
            served=settings.served_classes,
            calibration=settings.calibration,
        ).estimator

    frozen = trained.increment.frozen if trained.increment else None
    tags = client.get_model_version(trained.model, trained.version).tags
    return fit_folds(frame, fit, folds=settings.gate_folds, tuned=was_tuned(trained, tags, settings), frozen=frozen)


def _ask_champion(
    client: "MlflowClient",
    log: "Collection[Document]",
    trained: TrainedModel,
    champion: "ModelVersion | None",
    asked: pd.DataFrame,
    settings: Settings,
) -> ScoredChampion | None:
    if champion is None:
        return None
    scored = score_champion(client, log, champion, asked, allow_unverified=settings.allow_unverified_champion)
    if scored.foreign:
        return scored
    frozen = frozen_of(client, champion)
    learned = learned_by(champion, settings.storage, candidate_end=trained.window_end, frozen=frozen)
    return replace(scored, learned=learned)


def was_tuned(trained: TrainedModel, tags: Mapping[str, str], settings: Settings) -> bool:
    """Whether the parameters were searched for on the validation rows when the version was trained.

    The version says so; the settings may have changed since. One of an earlier release does not say it, and a search
    may have chosen the defaults: unless neither its parameters nor the settings look like a search, it counts as tuned.
    """
    if SEARCHED_TAG in tags:
        return tags[SEARCHED_TAG] == "true"
    searches = settings.hyperparameter_tuning or settings.family_of(trained.specialist) == AUTO
    return searches or searched_for(trained.parameters)
