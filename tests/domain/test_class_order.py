"""The order of a model's classes: by name or by number, and never assumed."""

import numpy as np
import pytest

from nhm_assets.domain.class_order import SERVED_ORDERS, by_label, class_order, fitted_labels

NAMES = ("approve", "reject", "review_required")


def test_the_specialists_get_approve_first_and_reject_second():
    assert SERVED_ORDERS == {"names": NAMES, "codes": ("reject", "approve", "review_required")}


@pytest.mark.parametrize(
    ("classes", "order"),
    [
        (NAMES, NAMES),
        (np.array(NAMES), NAMES),
        (np.array(NAMES, dtype=object), NAMES),
        ([0, 1, 2], SERVED_ORDERS["codes"]),
        (np.array([0, 1, 2]), SERVED_ORDERS["codes"]),
        (np.array([0.0, 1.0, 2.0]), SERVED_ORDERS["codes"]),
        (["review_required", "reject", "approve"], ("review_required", "reject", "approve")),
    ],
)
def test_names_and_numbers_of_our_classes_are_read(classes, order):
    assert class_order(classes) == order


@pytest.mark.parametrize(
    "classes",
    [
        [1, 2, 3],
        [0, 1, 2, 3],
        [0, 1],
        [0, 1, 1],
        [False, True, 2],
        ["0", "1", "2"],
        ["approve", "reject", "conditional"],
        ["approve", "reject", "review_required", "conditional"],
        [None, 1, 2],
        [np.array([0, 1]), np.array([0, 1])],
        [""],
        [],
    ],
    ids=str,
)
def test_other_classes_are_foreign(classes):
    assert class_order(classes) is None


def test_columns_are_put_into_the_order_of_the_labels():
    assert by_label(np.array([[0.7, 0.2, 0.1]]), NAMES).tolist() == [[0.2, 0.7, 0.1]]
    assert by_label(np.array([[0.7, 0.2, 0.1]]), SERVED_ORDERS["codes"]).tolist() == [[0.7, 0.2, 0.1]]


def test_a_model_is_fitted_on_names_unless_numbers_are_wanted():
    labels = np.array([0, 1, 2])
    assert list(fitted_labels(labels, "names")) == ["reject", "approve", "review_required"]
    assert list(fitted_labels(labels, "codes")) == [0, 1, 2]
