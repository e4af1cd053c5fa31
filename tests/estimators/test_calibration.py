"""The estimator that is registered: one forest on all rows, with calibrators of rows that a forest had not learned."""

import pickle
import pickletools

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV

from nhm_assets.domain.class_order import SERVED_ORDERS, by_label
from nhm_assets.domain.dataset_schema import (
    APPROVE,
    CLASS_NAMES,
    FEATURE_NAMES,
    REAL,
    REJECT,
    REVIEW_REQUIRED,
    SYNTHETIC,
)
from nhm_assets.estimators.calibration import Fitted, fit_estimator
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.evaluation.metrics import brier
from tests.support.learnable import ALL_CLASSES, learnable
from tests.support.versions import FEW_TREES

METHODS = ("sigmoid", "isotonic")
MOSTLY_APPROVED = (APPROVE, REJECT, APPROVE, APPROVE, REVIEW_REQUIRED)
"""Three rows of five are approved; the balanced weights make a forest answer as if it were one of three."""
HARD = {"classes": MOSTLY_APPROVED, "noise": 0.5}
ROWS = learnable(400, **HARD)
OTHERS = learnable(1000, seed=9, **HARD)
EARLIER, MIDDLE, LATEST = ROWS[:260], ROWS[260:330], ROWS[330:]


def fitted(rows: pd.DataFrame = ROWS, calibration: str = "auto", **options) -> Fitted:
    return fit_estimator(rows, FEW_TREES, **({"threads": 1} | options), calibration=calibration)


def forest_on(rows: pd.DataFrame, **options):
    return fit_model(rows, FEW_TREES, threads=1, **options)


def shares(estimator, rows: pd.DataFrame = OTHERS) -> np.ndarray:
    return estimator.predict_proba(rows[list(FEATURE_NAMES)])


def by_scikit_learn(rows: pd.DataFrame, method: str) -> CalibratedClassifierCV:
    """What scikit-learn makes of the earlier forest and these rows by itself."""
    calibrated = CalibratedClassifierCV(forest_on(EARLIER), method=method, cv="prefit")
    return calibrated.fit(rows[list(FEATURE_NAMES)], np.array(CLASS_NAMES)[rows["label"]])


def score(estimator, rows: pd.DataFrame) -> float:
    return brier(rows["label"].to_numpy(), by_label(shares(estimator, rows), SERVED_ORDERS["names"]))


@pytest.mark.parametrize("method", METHODS)
def test_the_forest_inside_has_learned_all_rows_and_its_calibrators_come_from_an_earlier_one(method):
    """No row is given up, and no calibrator learns from answers about rows that the answering forest has learned."""
    found = fitted(calibration=method)
    (pair,) = found.estimator.calibrated_classifiers_
    assert pair.estimator is found.estimator.estimator
    assert np.array_equal(shares(pair.estimator), shares(forest_on(ROWS)))

    calibrators = by_scikit_learn(pd.concat([MIDDLE, LATEST]), method).calibrated_classifiers_[0].calibrators
    single = [one.predict(column) for one, column in zip(calibrators, shares(forest_on(ROWS)).T, strict=True)]
    expected = np.column_stack(single) / np.sum(single, axis=0)[:, None]
    assert shares(found.estimator) == pytest.approx(expected)
    assert found.calibration.method == method
    assert found.calibration.learned_rows == 140


@pytest.mark.parametrize("method", METHODS)
def test_the_scores_are_of_rows_that_neither_forest_nor_calibrators_have_learned(method):
    record = fitted(calibration=method).calibration
    assert record.brier == pytest.approx(
        {"none": score(forest_on(EARLIER), LATEST), method: score(by_scikit_learn(MIDDLE, method), LATEST)}
    )
    assert record.compared_rows == len(LATEST)


def test_auto_calibrates_where_the_weights_bend_the_probabilities():
    """The specialists read the first probability as confidence: 0.43 was predicted where people approved 0.51."""
    found, plain = fitted(), fitted(calibration="none")
    assert found.calibration.method == "sigmoid"
    assert found.calibration.brier["sigmoid"] < found.calibration.brier["none"]
    approved = (OTHERS["label"] == APPROVE).mean()
    predicted, bent = (shares(one.estimator)[:, 0].mean() for one in (found, plain))
    assert abs(predicted - approved) < 0.02 < 0.05 < abs(bent - approved)
    assert score(found.estimator, OTHERS) < score(plain.estimator, OTHERS) - 0.02


def test_auto_serves_the_forest_itself_where_calibrators_are_not_better():
    """The reviewers of the middle rows, which the compared calibrators learn from, judged unlike all others."""
    odd = ROWS.assign(label=ROWS["label"].where(~ROWS.index.isin(MIDDLE.index), (ROWS["label"] + 1) % 3))
    found = fitted(odd)
    assert found.calibration.method == "none"
    assert found.calibration.brier["none"] < found.calibration.brier["sigmoid"]
    assert found.calibration.learned_rows == 0
    assert np.array_equal(shares(found.estimator), shares(forest_on(odd)))
    assert fitted(odd, "sigmoid").calibration.method == "sigmoid"


def test_none_fits_one_forest_and_compares_nothing():
    found = fitted(calibration="none")
    assert np.array_equal(shares(found.estimator), shares(forest_on(ROWS)))
    assert (found.calibration.brier, found.calibration.compared_rows) == ({}, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("served", SERVED_ORDERS)
@pytest.mark.parametrize("classes", [ALL_CLASSES, (APPROVE, REVIEW_REQUIRED), (REJECT, APPROVE)])
def test_there_are_always_three_probabilities_in_the_order_that_is_read(classes, served, method):
    """The sigmoid of a class without rows is above zero."""
    found = fitted(learnable(classes=classes), method, served=served)
    assert found.calibration.method == method
    order = SERVED_ORDERS[served]
    expected = {"names": ["approve", "reject", "review_required"], "codes": [REJECT, APPROVE, REVIEW_REQUIRED]}
    assert list(found.estimator.classes_) == expected[served]
    answers = shares(found.estimator)
    assert answers.shape == (len(OTHERS), 3)
    assert answers.sum(axis=1) == pytest.approx(1)
    assert {name for name, column in zip(order, answers.T, strict=True) if column.any()} == {
        CLASS_NAMES[label] for label in classes
    }


@pytest.mark.parametrize("part", [slice(0, 260), slice(260, 330), slice(330, 400)])
def test_a_class_with_too_few_rows_in_a_part_leaves_the_forest_as_it_is(part):
    """Four rejections say little about their frequency; what a forest answers about a class it never saw, nothing."""
    labels = ROWS["label"].to_numpy().copy()
    labels[part] = APPROVE
    labels[part][:4] = REJECT
    labels[part][4:9] = REVIEW_REQUIRED
    found = fitted(ROWS.assign(label=labels), "sigmoid")
    assert found.calibration.method == "none"
    assert "4" in found.calibration.reason
    assert "reject" in found.calibration.reason
    labels[part][9] = REJECT
    assert fitted(ROWS.assign(label=labels), "sigmoid").calibration.method == "sigmoid"


def test_all_rows_of_a_plan_are_in_the_part_of_its_newest_row():
    """A forest that has learned a plan is too sure of it."""
    plans = ROWS["plan_id"].to_numpy().copy()
    plans[:30] = plans[-30:]
    found = fitted(ROWS.assign(plan_id=plans), "sigmoid")
    assert found.calibration.learned_rows == 140 + 30
    assert found.calibration.compared_rows == 70 + 30


def test_synthetic_rows_are_learned_but_never_asked():
    """Only reviewers show how frequent a class is."""
    half = np.where(np.arange(len(OTHERS)) % 2, REAL, SYNTHETIC)
    assert fitted(OTHERS.assign(source=half), "sigmoid").calibration.learned_rows == 175
    assert fitted(OTHERS.assign(source=SYNTHETIC), "sigmoid").calibration.learned_rows == 350


def test_the_earlier_forest_learns_the_oldest_segment_and_the_newer_rows_are_halved():
    """So the earlier forest of the candidate is the forest of a fold, and is fitted once for both."""
    segments = pd.Series(np.repeat([0, 1, 2], [300, 60, 40]), index=ROWS.index)
    found = fitted(calibration="sigmoid", segments=segments)
    compared = forest_on(ROWS[:300])
    assert found.calibration.learned_rows == 100
    assert found.calibration.compared_rows == 50
    assert found.calibration.brier["none"] == pytest.approx(score(compared, ROWS[350:]))
    assert np.array_equal(shares(found.estimator.estimator), shares(forest_on(ROWS)))


def test_rows_of_the_oldest_segment_alone_are_cut_as_without_segments():
    segments = pd.Series(0, index=ROWS.index)
    assert fitted(segments=segments).calibration == fitted().calibration


def test_synthetic_rows_are_in_the_part_of_the_earlier_forest_whatever_their_segment():
    half = np.where(np.arange(len(OTHERS)) % 2, REAL, SYNTHETIC)
    segments = pd.Series(np.repeat([0, 1], [600, 400]), index=OTHERS.index).where(half == REAL, 0)
    assert fitted(OTHERS.assign(source=half), "sigmoid", segments=segments).calibration.learned_rows == 200


@pytest.mark.parametrize("method", METHODS)
def test_one_row_at_a_time_equals_all_rows_at_once_on_one_thread(method):
    estimator = fitted(calibration=method, threads=2).estimator
    few = OTHERS.head(10)
    alone = np.concatenate([shares(estimator, few.iloc[[number]]) for number in range(len(few))])
    assert np.allclose(alone, shares(estimator, few), rtol=0, atol=1e-12)
    assert estimator.estimator.n_jobs == 1
    assert np.array_equal(shares(estimator), shares(fitted(calibration=method, threads=1).estimator))


@pytest.mark.parametrize("method", METHODS)
def test_the_file_holds_one_forest_and_names_only_what_pods_have(method):
    estimator = fitted(learnable(classes=(APPROVE, REJECT)), method).estimator
    content = pickle.dumps(estimator)
    assert len(content) < len(pickle.dumps(estimator.estimator)) + 5000
    strings = [argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)]
    modules = {text.split(".")[0] for text in strings if text.split(".")[0] in {"nhm_assets", "sklearn", "numpy"}}
    assert modules == {"sklearn", "numpy"}
