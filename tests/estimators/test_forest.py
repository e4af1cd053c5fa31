"""The forest: its parameters, its training rows, and always three classes."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from nhm_assets.domain.class_order import SERVED_ORDERS
from nhm_assets.domain.dataset_schema import (
    APPROVE,
    CLASS_NAMES,
    EMBEDDING_FEATURES,
    FEATURE_NAMES,
    REJECT,
    REVIEW_REQUIRED,
    TEST,
)
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import fit_model, learning_rows
from tests.support.learnable import ALL_CLASSES, learnable
from tests.support.versions import FEW_TREES

ASKED = learnable(200, seed=7)
ALONE = {"class_weight": None, "bootstrap": False}
TWO_CLASSES = [(APPROVE, REVIEW_REQUIRED), (REJECT, APPROVE), (REJECT, REVIEW_REQUIRED)]


def shares(forest: RandomForestClassifier, rows: pd.DataFrame = ASKED) -> np.ndarray:
    return forest.predict_proba(rows[list(FEATURE_NAMES)])


def plain_forest(rows: pd.DataFrame, **changes) -> RandomForestClassifier:
    """The forest that scikit-learn fits on these rows by itself."""
    names = np.array(CLASS_NAMES)[rows["label"]]
    return RandomForestClassifier(**(PARAMETERS | changes)).fit(rows[list(FEATURE_NAMES)], names)


def test_the_parameters_are_the_agreed_ones():
    assert PARAMETERS == {
        "n_estimators": 100,
        "max_depth": 10,
        "min_samples_split": 5,
        "min_samples_leaf": 2,
        "class_weight": "balanced",
        "random_state": 42,
    }


def test_a_forest_on_all_classes_equals_that_of_scikit_learn():
    rows = learnable()
    forest = fit_model(rows, PARAMETERS, threads=1)
    assert {name: forest.get_params()[name] for name in PARAMETERS} == PARAMETERS
    assert np.array_equal(shares(forest), shares(plain_forest(rows)))


def test_a_forest_is_byte_for_byte_that_of_scikit_learn_on_doubles():
    """It learns single precision, in half of the memory: trees make that of any numbers."""
    rows = learnable(80).assign(max_norm=lambda frame: np.where(frame.index % 3, frame["num_tasks"] / 3, np.nan))
    own = fit_model(rows, FEW_TREES, threads=1)
    assert pickle.dumps(own) == pickle.dumps(plain_forest(rows, **FEW_TREES, n_jobs=1))


@pytest.mark.parametrize("served", SERVED_ORDERS)
@pytest.mark.parametrize("classes", [ALL_CLASSES, *TWO_CLASSES, (APPROVE,)])
def test_there_are_always_three_probabilities_in_the_order_that_is_read(classes, served):
    """The specialists take the first one for confidence and the second one for risk."""
    forest = fit_model(learnable(classes=classes), FEW_TREES, threads=1, served=served)
    found = shares(forest)
    expected = {"names": ["approve", "reject", "review_required"], "codes": [REJECT, APPROVE, REVIEW_REQUIRED]}
    assert list(forest.classes_) == expected[served]
    assert found.shape == (len(ASKED), 3)
    assert found.sum(axis=1) == pytest.approx(1)
    given = {name for name, column in zip(SERVED_ORDERS[served], found.T, strict=True) if column.any()}
    assert given == {CLASS_NAMES[label] for label in classes}


@pytest.mark.parametrize("classes", TWO_CLASSES)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_very_few_rows_without_a_class_result_in_probabilities(classes, count):
    """A bootstrap of three rows may draw the row of the missing class alone; such a tree answered NaN for all plans."""
    rows = learnable(count, label=np.array(classes)[np.arange(count) % 2])
    found = shares(fit_model(rows, PARAMETERS, threads=1))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)
    assert found.any(axis=0).sum() == 2


@pytest.mark.parametrize("classes", TWO_CLASSES)
def test_the_columns_of_present_classes_hold_their_probabilities(classes):
    """A column in the wrong place would have the right shape too."""
    rows = learnable(classes=classes, noise=0)
    predicted = fit_model(rows, FEW_TREES, threads=1).predict(rows[list(FEATURE_NAMES)])
    assert (predicted == np.array(CLASS_NAMES)[rows["label"]]).mean() > 0.95


@pytest.mark.parametrize("classes", TWO_CLASSES)
def test_a_missing_class_changes_no_split(classes):
    rows = learnable(classes=classes)
    forest = fit_model(rows, PARAMETERS | ALONE, threads=1)
    plain = plain_forest(rows, **ALONE)
    columns = [list(forest.classes_).index(name) for name in plain.classes_]
    assert np.array_equal(shares(forest)[:, columns], shares(plain))


def test_a_row_with_weight_would_change_predictions():
    rows = learnable(classes=TWO_CLASSES[0])
    more = pd.concat([rows, rows.head(1).assign(label=REJECT, **dict.fromkeys(FEATURE_NAMES, 0.0))])
    assert not np.array_equal(shares(plain_forest(more, **ALONE))[:, [0, 2]], shares(plain_forest(rows, **ALONE)))


def test_the_same_rows_result_in_exactly_the_same_forest():
    assert np.array_equal(*(shares(fit_model(learnable(), PARAMETERS, threads=1)) for _ in range(2)))


def test_other_rows_result_in_another_forest():
    one, other = (shares(fit_model(learnable(seed=seed), FEW_TREES, threads=1)) for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_threads_change_neither_the_forest_nor_its_serving():
    one, two = (fit_model(learnable(), PARAMETERS, threads=threads) for threads in (1, 2))
    assert np.array_equal(shares(one), shares(two))
    assert (one.n_jobs, two.n_jobs) == (1, 1)


def test_embeddings_may_be_missing_in_all_rows():
    rows = learnable()
    assert rows[list(EMBEDDING_FEATURES)].isna().all(axis=None)
    assert np.isfinite(shares(fit_model(rows, FEW_TREES, threads=1))).all()


def test_embeddings_may_be_missing_in_some_training_rows_and_present_in_prediction_rows():
    known = {name: np.where(np.arange(300) % 2, np.nan, 1.0) for name in EMBEDDING_FEATURES}
    forest = fit_model(learnable(**known), FEW_TREES, threads=1)
    assert np.isfinite(shares(forest, ASKED.assign(**dict.fromkeys(EMBEDDING_FEATURES, 2.0)))).all()


def test_the_training_rows_are_train_and_validation_in_their_order():
    frame = learnable()
    rows = learning_rows(frame)
    assert set(rows["split"]) == {"train", "validation"}
    assert list(rows["feedback_id"]) == list(frame["feedback_id"][: int(0.85 * len(frame))])
    assert TEST in set(frame["split"])
