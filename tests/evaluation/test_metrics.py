"""Metrics, compared with numbers computed by hand and with scikit-learn."""

import math
from math import comb

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from nhm_assets.domain.dataset_schema import APPROVE, REJECT, REVIEW_REQUIRED
from nhm_assets.domain.records import Interval
from nhm_assets.evaluation.metrics import (
    HEADLINE,
    baseline_f1,
    brier,
    compute_metrics,
    intervals,
    mcnemar,
    predict_labels,
)
from tests.support.learnable import learnable

LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 2, 2, 2])
DECIDED = np.array([1, 1, 1, 0, 1, 0, 2, 1, 2, 2])
"""By hand, for approve: 3 hits, 2 false alarms, 1 miss."""


def sure(decided) -> np.ndarray:
    """Probabilities of a model that is certain of these classes."""
    return np.eye(3)[np.asarray(decided)]


def drawn(count: int = 200, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and the probabilities of a good and of a mediocre model."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(3, size=count)
    good, middling = (draw.dirichlet([1, 1, 1], count) + weight * np.eye(3)[labels] for weight in (0.8, 0.2))
    return labels, good / good.sum(axis=1, keepdims=True), middling / middling.sum(axis=1, keepdims=True)


def own_plans(labels: np.ndarray) -> np.ndarray:
    """Ids of plans: each row has a plan of its own."""
    return np.array([f"plan-{number}" for number in range(len(labels))])


def intervals_of(labels: np.ndarray, *models: np.ndarray) -> list[dict[str, Interval]]:
    return intervals(labels, *models, plans=own_plans(labels))


def test_precision_recall_and_f1_of_approve_by_hand():
    found = compute_metrics(LABELS, sure(DECIDED))
    assert found.precision == pytest.approx(3 / 5)
    assert found.recall == pytest.approx(3 / 4)
    assert found.f1 == pytest.approx(2 / 3)


def test_accuracy_support_and_confusion_by_hand():
    found = compute_metrics(LABELS, sure(DECIDED))
    assert found.accuracy == pytest.approx(6 / 10)
    assert found.support == {"reject": 3, "approve": 4, "review_required": 3}
    assert found.confusion == [[1, 1, 1], [1, 3, 0], [0, 1, 2]]


def test_macro_f1_is_the_mean_over_the_three_classes_by_hand():
    reject, approve, review = 2 * 1 / (3 + 2), 2 * 3 / (4 + 5), 2 * 2 / (3 + 3)
    assert compute_metrics(LABELS, sure(DECIDED)).macro_f1 == pytest.approx((reject + approve + review) / 3)


def test_brier_score_by_hand():
    """(0.5-0)² + (0.3-1)² + 0.2² = 0.78, and 0.1² + 0.1² + (0.8-1)² = 0.06."""
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    assert brier(np.array([APPROVE, REVIEW_REQUIRED]), probabilities) == pytest.approx((0.78 + 0.06) / 2)


def test_the_brier_score_is_0_at_best_and_2_at_worst():
    assert brier(LABELS, sure(LABELS)) == 0
    assert brier(LABELS, sure((LABELS + 1) % 3)) == 2


def test_log_loss_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    found = compute_metrics(np.array([APPROVE, REVIEW_REQUIRED]), probabilities).log_loss
    assert found == pytest.approx(-(math.log(0.3) + math.log(0.8)) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_agree_with_scikit_learn(seed):
    labels, probabilities, _ = drawn(seed=seed)
    decided = probabilities.argmax(axis=1)
    found = compute_metrics(labels, probabilities)
    expected = sklearn_metrics.precision_recall_fscore_support(labels == 1, decided == 1, average="binary")
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected[:3])
    assert found.accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, decided))
    assert found.macro_f1 == pytest.approx(sklearn_metrics.f1_score(labels, decided, average="macro"))
    assert found.log_loss == pytest.approx(sklearn_metrics.log_loss(labels, probabilities))
    each = [sklearn_metrics.brier_score_loss(labels == label, probabilities[:, label]) for label in range(3)]
    assert found.brier == pytest.approx(sum(each))


def test_precision_is_0_if_nothing_is_predicted_approve():
    found = compute_metrics(LABELS, sure(np.full(len(LABELS), REJECT)))
    assert (found.precision, found.recall, found.f1) == (0, 0, 0)


def test_recall_is_0_if_no_label_is_approve():
    labels = np.array([REJECT, REVIEW_REQUIRED, REJECT])
    found = compute_metrics(labels, sure([APPROVE, REVIEW_REQUIRED, REJECT]))
    assert (found.precision, found.recall, found.f1) == (0, 0, 0)
    assert found.support["approve"] == 0


def test_metrics_exist_if_approve_is_neither_labelled_nor_predicted():
    labels = np.array([REJECT, REVIEW_REQUIRED])
    found = compute_metrics(labels, sure(labels))
    assert (found.f1, found.accuracy) == (0, 1)
    assert found.macro_f1 == pytest.approx(2 / 3)


def test_the_most_probable_class_is_predicted_and_the_first_in_a_tie():
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.1, 0.45, 0.45], [1 / 3, 1 / 3, 1 / 3]])
    assert predict_labels(probabilities).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 5, 2 / 2**5),
        (1, 5, 2 * (1 + 6) / 2**6),
        (10, 2, 2 * sum(comb(12, k) for k in range(3)) / 2**12),
    ],
)
def test_mcnemar_is_the_exact_binomial_test_of_the_rows_that_only_one_model_classifies_correctly(
    only_first, only_second, p_value
):
    both_right, both_wrong = 8, 4
    labels = np.full(only_first + only_second + both_right + both_wrong, APPROVE)
    first, second = np.full(len(labels), REJECT), np.full(len(labels), REJECT)
    first[: only_first + both_right] = APPROVE
    second[only_first : only_first + both_right + only_second] = APPROVE
    found = mcnemar(labels, sure(first), sure(second))
    assert found == (only_first, only_second, pytest.approx(p_value))


def test_mcnemar_counts_approve_and_not_approve_as_the_gate_does():
    """Reject in place of review_required decides no promotion; the second model is wrong in three rows by the gate."""
    labels = np.array([APPROVE, REJECT, REVIEW_REQUIRED, REVIEW_REQUIRED, APPROVE, REJECT])
    first = sure([APPROVE, REVIEW_REQUIRED, REJECT, REVIEW_REQUIRED, REJECT, REJECT])
    second = sure([REJECT, APPROVE, REVIEW_REQUIRED, APPROVE, APPROVE, REVIEW_REQUIRED])
    assert mcnemar(labels, first, second) == (3, 1, pytest.approx(2 * (1 + 4) / 2**4))


def test_swapping_the_models_swaps_the_mcnemar_counts_and_keeps_the_p_value():
    labels, good, middling = drawn()
    first, second, p_value = mcnemar(labels, good, middling)
    assert first > second
    assert mcnemar(labels, middling, good) == (second, first, pytest.approx(p_value))


@pytest.mark.parametrize("seed", range(3))
def test_intervals_contain_the_value_and_stay_between_0_and_1(seed):
    labels, probabilities, _ = drawn(seed=seed)
    found, measured = intervals_of(labels, probabilities)[0], compute_metrics(labels, probabilities)
    assert tuple(found) == HEADLINE
    for name, interval in found.items():
        assert 0 <= interval.low < getattr(measured, name) < interval.high <= 1


def test_intervals_are_seeded():
    labels, good, middling = drawn()
    assert intervals_of(labels, good, middling) == intervals_of(labels, good, middling)


def test_rows_of_a_plan_are_drawn_together_so_repeated_rows_are_no_new_evidence():
    labels, good, middling = drawn()
    plans = own_plans(labels)
    again = [np.repeat(part, 4, axis=0) for part in (labels, good, middling)]
    once = intervals(labels, good, middling, plans=plans)
    assert intervals(*again, plans=np.repeat(plans, 4)) == once
    alone = intervals_of(*again)
    for of_plans, of_rows in zip(once, alone, strict=True):
        for name in HEADLINE:
            width = of_plans[name].high - of_plans[name].low
            assert 1.7 < width / (of_rows[name].high - of_rows[name].low) < 2.3


def test_more_rows_result_in_narrower_intervals_of():
    few, many = (intervals_of(*drawn(count)[::2])[0]["f1"] for count in (60, 960))
    assert 3 < (few.high - few.low) / (many.high - many.low) < 5.5


def test_an_interval_of_f1_is_as_wide_as_theory_says_for_recall():
    """Recall of k of n is a binomial share: 1.96 standard errors to each side."""
    labels = np.array([APPROVE] * 400 + [REJECT] * 400)
    decided = np.array(([APPROVE] * 4 + [REJECT]) * 80 + [REJECT] * 400)
    interval = intervals_of(labels, sure(decided))[0]["recall"]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * math.sqrt(0.8 * 0.2 / 400), rel=0.1)


def test_differences_are_resampled_in_pairs():
    """A model does not differ from itself in any sample."""
    labels, good, middling = drawn()
    same = intervals_of(labels, good, good)[1]
    assert {(interval.low, interval.high) for interval in same.values()} == {(0, 0)}
    other = intervals_of(labels, good, middling)[1]
    difference = compute_metrics(labels, good).f1 - compute_metrics(labels, middling).f1
    assert 0 < other["f1"].low < difference < other["f1"].high


def test_differences_change_sign_with_the_order_of_the_models():
    labels, good, middling = drawn()
    forth, back = intervals_of(labels, good, middling)[1]["f1"], intervals_of(labels, middling, good)[1]["f1"]
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_one_model_has_intervals_and_no_differences():
    assert len(intervals_of(*drawn()[:2])) == 1


def test_the_majority_dummy_approves_all_if_approve_is_the_majority():
    """Half of the test rows are approve: precision 1/2, recall 1, F1 2/3."""
    learned = learnable(30, label=[APPROVE] * 20 + [REJECT] * 10)
    tested = learnable(20, label=[APPROVE, REVIEW_REQUIRED] * 10)
    found = baseline_f1(learned, tested)
    assert list(found) == ["most_frequent", "stratified"]
    assert found["most_frequent"] == pytest.approx(2 / 3)
    assert 0 < found["stratified"] < 1


def test_the_majority_dummy_has_an_f1_of_0_if_approve_is_not_the_majority():
    learned = learnable(30, label=[APPROVE] * 10 + [REJECT] * 20)
    assert baseline_f1(learned, learnable(20))["most_frequent"] == 0


def test_dummies_are_seeded():
    rows = learnable()
    assert baseline_f1(rows, rows) == baseline_f1(rows, rows)
