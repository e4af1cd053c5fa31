"""The flip rate is 0 for a clear case, near a half on the line, and a matter of plans, not of rows."""

import math

import numpy as np
import pytest

from nhm_assets.evaluation.flip_rate import RESAMPLES, flip_rate
from nhm_assets.evaluation.resampling import PlanSums

LINE = 0.7


def share_reaches(sums: np.ndarray) -> np.ndarray:
    """A gate of one rule: hits per row."""
    return sums[:, 0] >= LINE * sums[:, 1]


def plans(hits: int, count: int, rows: int = 1) -> PlanSums:
    """Plans of so many equal rows each."""
    return PlanSums(rows * np.array([[1, 1]] * hits + [[0, 1]] * (count - hits)))


@pytest.mark.parametrize("hits", [95, 30])
def test_a_clear_decision_never_flips(hits):
    assert flip_rate(plans(hits, 100), share_reaches) == 0


@pytest.mark.parametrize("hits", [70, 69])
def test_a_decision_on_the_line_is_a_coin_toss(hits):
    assert 0.35 < flip_rate(plans(hits, 100), share_reaches) < 0.6


def test_the_rate_is_that_of_the_binomial_distribution():
    """74 of 100: a sample has a share below 0.7 with probability Phi(-0.045 / sqrt(0.74 x 0.26 / 100))."""
    expected = 0.5 * math.erfc(0.045 / math.sqrt(0.74 * 0.26 / 100) / math.sqrt(2))
    found = flip_rate(plans(74, 100), share_reaches)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / RESAMPLES))


def test_rows_of_the_same_plan_are_no_new_evidence():
    assert flip_rate(plans(74, 100, rows=50), share_reaches) == flip_rate(plans(74, 100), share_reaches)
    assert flip_rate(plans(74 * 50, 100 * 50), share_reaches) == 0


def test_it_is_seeded():
    assert len({flip_rate(plans(72, 100), share_reaches) for _ in range(3)}) == 1
