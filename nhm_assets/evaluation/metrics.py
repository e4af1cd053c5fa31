"""Metrics of predicted probabilities. The positive class is approve; a ratio with the denominator 0 is 0."""

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES
from nhm_assets.domain.records import Interval, Metrics
from nhm_assets.evaluation.resampling import PlanSums

CLASSES = tuple(range(len(CLASS_NAMES)))
_RESAMPLES = 2000
_SEED = 42
_TAILS = (2.5, 97.5)

HEADLINE = ("precision", "recall", "f1")
Labels = np.ndarray
"""Classes 0, 1, 2; shape (n,)."""
Probabilities = np.ndarray
"""Probabilities of the classes 0, 1, 2; shape (n, 3), rows sum to 1."""


def compute_metrics(labels: Labels, probabilities: Probabilities) -> Metrics:
    """All metrics of one model on the test rows. The Brier score is the multi-class form of Brier (1950)."""
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    predicted = predict_labels(probabilities)
    truth, positive = labels == APPROVE, predicted == APPROVE
    precision, recall, f1 = (float(value) for value in _headline(truth & positive, truth, positive))
    return Metrics(
        precision=precision,
        recall=recall,
        f1=f1,
        accuracy=float(accuracy_score(labels, predicted)),
        macro_f1=float(f1_score(labels, predicted, labels=CLASSES, average="macro", zero_division=0.0)),
        brier=brier(labels, probabilities),
        log_loss=float(log_loss(labels, probabilities, labels=CLASSES)),
        support={name: int((labels == label).sum()) for label, name in enumerate(CLASS_NAMES)},
        confusion=confusion(labels, predicted),
    )


def confusion(labels: Labels, predicted: Labels) -> list[list[int]]:
    """3 x 3 counts; rows are true classes, columns are predicted classes."""
    from sklearn.metrics import confusion_matrix

    return [list(map(int, row)) for row in confusion_matrix(labels, predicted, labels=CLASSES)]


def f1_of_approve(labels: Labels, predicted: Labels) -> float:
    """F1 of the class approve."""
    truth, positive = labels == APPROVE, predicted == APPROVE
    return float(_headline(truth & positive, truth, positive)[2])


def predict_labels(probabilities: Probabilities) -> Labels:
    """The most probable class of each row; the first label in a tie."""
    return probabilities.argmax(axis=1)


def brier(labels: Labels, probabilities: Probabilities) -> float:
    """Squared errors, summed over the classes, mean over the rows: 0 is best, 2 is worst."""
    return float(((probabilities - np.eye(len(CLASSES))[labels]) ** 2).sum(axis=1).mean())


def _headline(hits: np.ndarray, truth: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, ...]:
    """Precision, recall and F1 along the last axis."""
    return ratios(*(np.sum(part, axis=-1, dtype="float64") for part in (hits, truth, positive)))


def ratios(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, ...]:
    """Precision, recall and F1 from counts: rows that are approve and predicted so, that are, that are predicted so."""
    return _ratio(hits, predicted), _ratio(hits, actual), _ratio(2 * hits, actual + predicted)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)


def intervals(labels: Labels, *models: Probabilities, plans: np.ndarray) -> list[dict[str, Interval]]:
    """95 % percentile intervals of precision, recall and F1, by a seeded bootstrap over the plans of the test rows.

    Args:
        labels: of the test rows.
        models: probabilities of one model, or of two models on the same rows.
        plans: id of the plan of each test row. The rows of a plan are drawn together.

    Returns:
        The intervals of the first model. With two models also those of the differences, first minus second,
        resampled in pairs.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
    """
    truth = labels == APPROVE
    columns = [truth]
    for positive in (predict_labels(probabilities) == APPROVE for probabilities in models):
        columns += [truth & positive, positive]
    drawn = PlanSums.of(plans, np.column_stack(columns)).resampled(np.random.default_rng(_SEED), _RESAMPLES).T
    values = [np.array(ratios(drawn[at], drawn[0], drawn[at + 1])) for at in range(1, len(columns), 2)]
    results = [values[0]] if len(models) == 1 else [values[0], values[0] - values[1]]
    return [_percentiles(result) for result in results]


def _percentiles(values: np.ndarray) -> dict[str, Interval]:
    low, high = np.percentile(values, _TAILS, axis=-1)
    return {
        name: Interval(low=float(low[position]), high=float(high[position])) for position, name in enumerate(HEADLINE)
    }


def mcnemar(labels: Labels, first: Probabilities, second: Probabilities) -> tuple[int, int, float]:
    """Rows that only the first model judges correctly, rows that only the second does, two-sided p-value.

    A model judges a row correctly if it tells approve from not approve, as the gate does: reject in place of
    review_required is no error.

    The exact form of McNemar's test (1947): under the null hypothesis each such row is a fair coin.
    """
    from scipy.stats import binomtest

    truth = labels == APPROVE
    correct = [(predict_labels(model) == APPROVE) == truth for model in (first, second)]
    only_first, only_second = int((correct[0] & ~correct[1]).sum()), int((correct[1] & ~correct[0]).sum())
    if not only_first + only_second:
        return 0, 0, 1.0
    p_value = binomtest(only_first, only_first + only_second).pvalue
    return only_first, only_second, float(p_value)


def baseline_f1(training_rows: pd.DataFrame, test_rows: pd.DataFrame) -> dict[str, float]:
    """F1 of two dummy classifiers: always the majority class, and classes drawn by their frequency."""
    labels = test_rows["label"].to_numpy()
    return {name: f1_of_approve(labels, predicted) for name, predicted in baselines(training_rows, test_rows).items()}


def baselines(training_rows: pd.DataFrame, test_rows: pd.DataFrame) -> dict[str, Labels]:
    """What the two dummy classifiers predict for the test rows."""
    from sklearn.dummy import DummyClassifier

    predicted = {}
    for strategy in ("most_frequent", "stratified"):
        dummy = DummyClassifier(strategy=strategy, random_state=_SEED)
        # A dummy looks at no feature. Only the number of rows counts, and one column copies less than all.
        dummy.fit(training_rows[["label"]], training_rows["label"])
        predicted[strategy] = dummy.predict(test_rows[["label"]])
    return predicted
