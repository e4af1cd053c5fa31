"""Permutation importances: the numbers of scikit-learn's, from a few questions."""

import numpy as np
import pytest
from sklearn.inspection import permutation_importance

from nhm_assets.domain.class_order import by_label, class_order
from nhm_assets.domain.dataset_schema import FEATURE_NAMES, TEST
from nhm_assets.evaluation.importances import permutation_importances
from nhm_assets.evaluation.metrics import f1_of_approve, predict_labels
from tests.support.learnable import learnable
from tests.support.versions import small_forest

FEATURES = list(FEATURE_NAMES)


@pytest.fixture(scope="module")
def forest():
    return small_forest(noise=0.2)


@pytest.fixture(scope="module")
def rows():
    """Test rows, with the three columns of missing values that plans without stored features have."""
    frame = learnable(noise=0.2)
    return frame[frame["split"] == TEST]


def probabilities(forest, rows):
    return by_label(forest.predict_proba(rows), class_order(forest.classes_))


def one_by_one(forest, rows) -> dict[str, float]:
    """The importances as scikit-learn computes them, with a question per permutation."""

    def score(model, features, labels):
        return f1_of_approve(labels.to_numpy(), predict_labels(probabilities(model, features)))

    found = permutation_importance(forest, rows[FEATURES], rows["label"], scoring=score, n_repeats=5, random_state=42)
    return dict(zip(FEATURE_NAMES, found.importances_mean.tolist(), strict=True))


@pytest.mark.parametrize("rows_at_once", [1, 100, 1_000, 50_000])
def test_they_are_exactly_those_of_scikit_learn(forest, rows, rows_at_once):
    asked = []

    def ask(features):
        asked.append(len(features))
        return probabilities(forest, features)

    found = permutation_importances(ask, rows[FEATURES], rows["label"].to_numpy(), rows_at_once=rows_at_once)
    expected = one_by_one(forest, rows)
    assert found == expected
    assert len(set(expected.values())) > 5
    assert max(asked) <= max(len(rows), rows_at_once)


def test_they_take_two_questions_for_as_many_rows_as_a_usual_week_tests(forest, rows):
    asked = []

    def ask(features):
        asked.append(features)
        return probabilities(forest, features)

    usual = rows.iloc[np.arange(300) % len(rows)]
    permutation_importances(ask, usual[FEATURES], usual["label"].to_numpy())
    assert [len(features) for features in asked] == [26 * 5 * 300, 300]
    assert all(list(features.columns) == FEATURES for features in asked)
