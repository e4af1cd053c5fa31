"""The folds: fitted on older rows, asked about newer ones, and left out where they would say nothing."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, REJECT, SYNTHETIC, TRAIN
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators.families import AUTO, PARAMETERS
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.evaluation.evaluate import was_tuned
from nhm_assets.evaluation.folds import asked_rows, fit_folds
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.registry.vocabulary import SEARCHED_TAG
from nhm_assets.settings import Settings
from tests.support.learnable import learnable
from tests.support.reports import trained_model
from tests.support.versions import FEW_TREES

FRAME = learnable(600)
SEARCHES: list[dict[str, Any]] = [{"hyperparameter_tuning": True}, {"model_family": AUTO}]
FIT = partial(fit_model, parameters=FEW_TREES, threads=1)


class Fits:
    """Fits the estimator, and remembers the rows that it was given."""

    def __init__(self) -> None:
        self.learned: list[pd.DataFrame] = []

    def __call__(self, rows: pd.DataFrame):
        self.learned.append(rows)
        return FIT(rows)


@pytest.mark.parametrize("folds", [0, 1, 2])
def test_a_fold_learns_the_segments_before_its_own_and_is_asked_about_its_own(folds: int):
    fits = Fits()
    records, predicted = fit_folds(FRAME, fits, folds=folds, tuned=False)
    numbers = [1, 2][2 - folds :]
    segments = segments_of(FRAME)
    assert [record.number for record in records] == list(predicted) == numbers
    for number, learned, record in zip(numbers, fits.learned, records, strict=True):
        assert learned.equals(FRAME[segments < number])
        assert (record.learned_rows, record.tested_rows) == ((segments < number).sum(), (segments == number).sum())
        assert np.sum(record.confusion) == record.tested_rows
    assert list(asked_rows(FRAME, folds)["segment"].unique()) == [*numbers, 3]


def test_without_folds_nothing_is_fitted_and_only_the_test_rows_are_asked():
    fits = Fits()
    assert fit_folds(FRAME, fits, folds=0, tuned=False) == ([], {})
    assert fits.learned == []
    assert list(asked_rows(FRAME, 0)["feedback_id"]) == list(FRAME[FRAME["split"] == "test"]["feedback_id"])


def test_the_answers_of_a_fold_are_those_of_the_same_estimator_fitted_outside():
    _, predicted = fit_folds(FRAME, FIT, folds=2, tuned=False)
    segments = segments_of(FRAME)
    outside = FIT(FRAME[segments < 2]).predict(FRAME.loc[segments == 2, list(FEATURE_NAMES)])
    assert list(predicted[2] == APPROVE) == list(outside == "approve")


def test_no_plan_is_both_learned_and_asked():
    plans = np.random.default_rng(3).integers(200, size=600).astype(str)
    frame = learnable(600, plan_id=plans)
    frame["split"] = temporal_split(frame["plan_id"])
    fits = Fits()
    fit_folds(frame, fits, folds=2, tuned=False)
    segments = segments_of(frame)
    for number, learned in zip((1, 2), fits.learned, strict=True):
        assert not set(learned["plan_id"]) & set(frame.loc[segments == number, "plan_id"])


def test_synthetic_rows_are_learned_and_never_asked():
    extra = learnable(300, seed=5, source=SYNTHETIC, split=TRAIN, plan_id=[f"synthetic-{n}" for n in range(300)])
    mixed = pd.concat([FRAME, extra]).sort_values("submitted_at", ignore_index=True)
    fits = Fits()
    fit_folds(mixed, fits, folds=2, tuned=False)
    assert [(rows["source"] == SYNTHETIC).sum() for rows in fits.learned] == [300, 300]
    assert SYNTHETIC not in set(asked_rows(mixed, 2)["source"])


def test_the_fold_that_the_search_for_hyperparameters_was_scored_on_is_left_out():
    records, predicted = fit_folds(FRAME, FIT, folds=2, tuned=True)
    assert list(predicted) == [1]
    assert records[1].left_out == "a search was scored on its rows (HYPERPARAMETER_TUNING, MODEL_FAMILY)"
    assert records[1].confusion == []


@pytest.mark.parametrize("now", [{}, *SEARCHES])
@pytest.mark.parametrize(("said", "depth"), [("true", 10), ("true", 4), ("false", 10), ("false", 4)])
def test_whether_a_version_was_tuned_is_what_it_says_whatever_the_settings_are_now(now, said: str, depth: int):
    """A search may choose the defaults, and defaults may change."""
    version = trained_model(parameters=PARAMETERS | {"max_depth": depth})
    assert was_tuned(version, {SEARCHED_TAG: said}, Settings(**now)) == (said == "true")


@pytest.mark.parametrize(
    ("depth", "now", "tuned"), [(10, {}, False), (4, {}, True), *((10, one, True) for one in SEARCHES)]
)
def test_a_version_of_an_earlier_release_counts_as_tuned_unless_nothing_looks_like_it(depth: int, now, tuned):
    assert was_tuned(trained_model(parameters=PARAMETERS | {"max_depth": depth}), {}, Settings(**now)) is tuned


def test_an_increment_has_no_folds_because_its_frozen_version_has_learned_their_rows():
    fits = Fits()
    records, predicted = fit_folds(FRAME, fits, folds=2, tuned=False, frozen="7")
    assert (predicted, fits.learned) == ({}, [])
    assert {record.left_out for record in records} == {
        "the candidate is an increment of version 7, which is not fitted again"
    }


@pytest.mark.parametrize(("approvals", "counts"), [(20, True), (19, False), (70, True), (71, False)])
def test_a_fold_needs_20_rows_of_each_kind(approvals: int, counts: bool):  # noqa: FBT001 - a table
    frame = FRAME.copy()
    rows = np.flatnonzero(segments_of(frame) == 1)
    assert len(rows) == 90
    frame.loc[rows, "label"] = [APPROVE] * approvals + [REJECT] * (90 - approvals)
    records, predicted = fit_folds(frame, FIT, folds=2, tuned=False)
    assert (1 in predicted) is counts
    if not counts:
        assert f"{approvals} of its 90 rows are approve; 20 that are and 20 that are not are required" in (
            records[0].left_out
        )


@pytest.mark.parametrize("label", [APPROVE, REJECT])
def test_a_fold_needs_two_classes_to_learn_from(label: int):
    frame = FRAME.copy()
    frame.loc[segments_of(frame) == 0, "label"] = label
    records, predicted = fit_folds(frame, FIT, folds=2, tuned=False)
    assert list(predicted) == [2]
    assert "do not contain approve and another class" in records[0].left_out
