"""What would settle it: few plans far from the line, many near it, none on it."""

import numpy as np
import pytest
from scipy.special import betainc

from nhm_assets.domain.records import Settling
from nhm_assets.evaluation.resampling import PlanSums
from nhm_assets.evaluation.settling import CHANCE, MOST_PLANS, settling

LINE = 0.7


def posterior(sums: np.ndarray) -> np.ndarray:
    """Of one rate: hits among rows."""
    hits, rows = sums[:, 0], sums[:, 1]
    return 1 - betainc(hits + 0.5, rows - hits + 0.5, LINE)


def judge(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A gate that passes what is sure by 95 %, so that both directions need rows."""
    found = posterior(sums)
    return found >= 0.95, found < 0.05


def settled(hits: int, plans: int = 100, opinions: int = 1) -> Settling:
    sums = PlanSums(opinions * np.array([[1, 1]] * hits + [[0, 1]] * (plans - hits)))
    return settling(sums, judge, approve=0.4 * plans * opinions, not_approve=0.6 * plans * opinions)


def test_a_rate_far_above_the_line_needs_few_plans_and_would_pass():
    found = settled(76)
    assert found.plans is not None
    assert 30 < found.plans < 500
    assert found.passes >= CHANCE
    assert found.below < 0.02


def test_a_rate_far_below_the_line_would_be_below():
    found = settled(64)
    assert found.below >= CHANCE
    assert found.passes < 0.02


def test_the_nearer_to_the_line_the_more_plans():
    near, nearer = settled(74), settled(72)
    assert 100 < near.plans < nearer.plans / 2


def test_on_the_line_no_number_of_plans_settles_it():
    assert settled(70) == Settling(plans=None, approve=None, not_approve=None, passes=None, below=None)


def test_the_number_agrees_with_the_normal_approximation():
    """The pooled share of 100 + N plans passes if it is 1.645 of its standard errors above the line.

    The first 100 plans are as they are; the N others have a share of 0.74 with the error of N plans.
    """
    found = settled(74).plans
    rate, reached = 0.74, []
    draws = np.random.default_rng(1)
    for number in (int(found / 1.35), int(found * 1.35)):
        hits = 74 + draws.binomial(number, rate, size=20_000)
        total = 100 + number
        share = hits / total
        reached.append(np.mean(share - LINE >= 1.645 * np.sqrt(share * (1 - share) / total)))
    assert reached[0] < CHANCE < reached[1]


def test_the_classes_share_the_opinions_as_now():
    found = settled(76, opinions=3)
    assert found.approve == pytest.approx(found.plans * 3 * 0.4, abs=1)
    assert found.not_approve == pytest.approx(found.plans * 3 * 0.6, abs=1)


def test_it_is_seeded():
    assert settled(74) == settled(74)


def test_no_more_than_the_largest_number_is_tried():
    tried: list[int] = []

    def never(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tried.append(int(sums[0, 1]) - 100)
        return np.zeros(len(sums), dtype=bool), np.zeros(len(sums), dtype=bool)

    assert settling(PlanSums(np.ones((100, 2), dtype="int64")), never, approve=50, not_approve=50).plans is None
    assert max(tried) == MOST_PLANS
