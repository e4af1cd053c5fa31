"""Figures before anybody has reviewed, from confidences alone."""

import numpy as np
import pytest

from nhm_assets.drift.estimate import estimate
from nhm_assets.served.agreement import counted


def world(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated confidences, calls, and what people say."""
    draw = np.random.default_rng(seed)
    confidence = draw.beta(0.8, 0.8, count)
    return confidence, confidence > 0.45, draw.random(count) < confidence


def test_at_300_plans_the_mean_error_of_f1_is_below_003():
    errors = []
    for seed in range(300):
        confidence, calls, approved = world(300, seed)
        errors.append(counted(calls, approved).f1 - estimate(confidence, calls).f1)
    assert np.mean(np.abs(errors)) < 0.03
    assert abs(np.mean(errors)) < 0.005


def test_the_interval_holds_what_comes_true_in_nine_of_ten_cases():
    inside = []
    for seed in range(400):
        confidence, calls, approved = world(300, seed)
        expected = estimate(confidence, calls)
        inside.append(expected.low <= counted(calls, approved).f1 <= expected.high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.04)


def test_precision_and_recall_are_expected_counts():
    expected = estimate(np.array([0.9, 0.7, 0.4]), np.array([True, True, False]))
    assert (expected.precision, expected.recall) == (pytest.approx(0.8), pytest.approx(1.6 / 2.0))
    assert expected.f1 == pytest.approx(3.2 / 4.0)


def test_where_nothing_is_approve_nothing_is_expected():
    expected = estimate(np.zeros(3), np.zeros(3, dtype="bool"))
    assert (expected.precision, expected.recall, expected.f1, expected.error) == (None, None, None, 0.0)
