"""The statistics of the gate, against scipy's distributions and a bootstrap."""

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import f1_score

from nhm_assets.evaluation.posteriors import count_calls, f1_difference, posterior, probability_above

DRAW = np.random.default_rng(13)
RESAMPLES = 20_000


def calls(rows: int, *, approvals: float, right: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and the calls of two models that agree in most rows."""
    draw = np.random.default_rng(seed)
    labels = draw.random(rows) < approvals
    first = np.where(draw.random(rows) < right, labels, ~labels)
    second = np.where(draw.random(rows) < 0.1, draw.random(rows) < approvals, first)
    return labels, first, second


@pytest.mark.parametrize(("hits", "misses"), [(0, 0), (0, 30), (30, 0), (70, 30), (150, 50), (700, 300), (3, 1)])
@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.5, 0.7, 0.75, 0.99, 1.0])
def test_the_probability_of_a_rate_is_that_of_scipys_beta_distribution(hits: int, misses: int, threshold: float):
    expected = beta.sf(threshold, hits + 0.5, misses + 0.5)
    assert probability_above(hits, misses, threshold) == pytest.approx(expected, abs=1e-12)


def test_as_many_hits_as_the_threshold_asks_for_are_a_coin_toss():
    assert probability_above(75, 25, 0.75) == pytest.approx(0.5, abs=0.02)
    assert probability_above(7500, 2500, 0.75) == pytest.approx(0.5, abs=0.002)


def test_a_posterior_has_its_5th_and_95th_percentile():
    found = posterior(70, 30)
    assert (found.a, found.b) == (70.5, 30.5)
    assert (found.low, found.high) == pytest.approx(beta.ppf([0.05, 0.95], 70.5, 30.5))


def test_calls_are_counted():
    labels = np.array([1, 1, 1, 0, 0, 0, 0], dtype="bool")
    called = np.array([1, 1, 0, 1, 0, 0, 0], dtype="bool")
    found = count_calls(labels, called)
    assert (found.tp, found.fp, found.fn, found.tn) == (2, 1, 1, 3)
    assert found.rows == 7
    assert found.f1 == pytest.approx(f1_score(labels, called))
    assert (found.precision, found.recall) == (posterior(2, 1), posterior(2, 1))


@pytest.mark.parametrize(
    ("rows", "approvals", "right"), [(150, 0.5, 0.8), (300, 0.35, 0.75), (600, 0.45, 0.9), (200, 0.3, 0.6)]
)
def test_the_standard_error_of_a_difference_is_that_of_the_paired_bootstrap(rows, approvals, right):
    labels, first, second = calls(rows, approvals=approvals, right=right, seed=rows)
    found = f1_difference(labels, first, second)
    assert found.rows == rows
    assert found.difference == pytest.approx(f1_score(labels, first) - f1_score(labels, second), abs=1e-12)
    drawn = DRAW.integers(rows, size=(RESAMPLES, rows))
    y, c, k = labels[drawn], first[drawn], second[drawn]
    differences = 2 * (y & c).sum(1) / (y.sum(1) + c.sum(1)) - 2 * (y & k).sum(1) / (y.sum(1) + k.sum(1))
    # The spread of 20,000 draws is known to half a percent; the limit of small rows differs by a little more.
    assert found.standard_error == pytest.approx(differences.std(), rel=0.03)


def test_equal_calls_differ_by_nothing_and_that_is_sure():
    labels, first, _ = calls(200, approvals=0.4, right=0.8, seed=1)
    found = f1_difference(labels, first, first)
    assert (found.difference, found.standard_error) == (0.0, 0.0)


def test_without_any_approval_f1_is_0():
    nothing = np.zeros(50, dtype="bool")
    found = f1_difference(nothing, nothing, nothing)
    assert (found.difference, found.standard_error) == (0.0, 0.0)
    assert count_calls(nothing, nothing).f1 == 0.0
