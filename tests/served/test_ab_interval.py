"""Differences of two versions: the figures themselves, and what their intervals promise."""

from math import log, sqrt

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from benchmarks.ab import answers
from nhm_assets.served.ab_interval import ALPHA, FEWEST, apart, half_width, paired


def test_figures_are_those_of_other_libraries():
    champion, challenger, approved = answers(np.random.default_rng(1), 700, correlation=0.8, better=0.05)
    champion = champion.round(2)
    auc, precision = paired(champion, challenger, approved)
    assert auc.champion == pytest.approx(roc_auc_score(approved, champion))
    assert auc.challenger == pytest.approx(roc_auc_score(approved, challenger))
    assert precision.champion == pytest.approx(approved[champion >= 0.8].mean())
    assert precision.challenger == pytest.approx(approved[challenger >= 0.8].mean())
    assert auc.low < auc.value < auc.high


def test_the_width_is_that_of_the_paper():
    """Waudby-Smith et al., equation 9 for the best rho at a time, and Theorem 2.2."""
    alpha, plans = 0.05, 300
    rho = sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / 500)
    grown = plans * rho**2 + 1
    written = sqrt(0.3) * sqrt(2 * grown / (plans**2 * rho**2) * log(sqrt(grown) / alpha))
    assert half_width(0.3, plans, alpha) == pytest.approx(written)
    # Wider than an interval for one look, and not by much where it is narrowest.
    once = norm.isf(alpha / 2) * sqrt(0.3 / 500)
    assert 1.2 < half_width(0.3, 500, alpha) / once < 1.8
    assert half_width(0.3, 10, alpha) > half_width(0.3, 100, alpha) > half_width(0.3, 10_000, alpha)


def test_the_influences_give_the_variance_of_the_difference():
    """The spread of the estimate over many samples is what a single sample says."""
    draw = np.random.default_rng(2)
    found = [paired(*answers(draw, 400, correlation=0.8, better=0.05)) for _ in range(300)]
    for part in (0, 1):
        spread = np.std([both[part].value for both in found])
        said = np.mean([(both[part].high - both[part].low) / 2 for both in found]) / half_width(1.0, 400)
        assert said / sqrt(400) == pytest.approx(spread, rel=0.2)


def test_a_test_of_equal_versions_seldom_ends_with_a_difference_however_often_one_looks():
    draw = np.random.default_rng(3)
    ended = 0
    for _ in range(60):
        champion, challenger, approved = answers(draw, 1000, correlation=0.8, better=0.0)
        looks = [paired(champion[:n], challenger[:n], approved[:n]) for n in range(100, 1001, 100)]
        ended += any(one is not None and one.sign for both in looks for one in both)
    assert ended / 60 <= ALPHA


def test_a_large_difference_is_found_in_either_direction_and_by_either_kind_of_test():
    champion, challenger, approved = answers(np.random.default_rng(4), 1000, correlation=0.8, better=0.1)
    assert paired(champion, challenger, approved)[0].sign == 1
    assert paired(challenger, champion, approved)[0].sign == -1
    half = np.arange(1000) % 2 == 0
    many = answers(np.random.default_rng(5), 6000, correlation=0.0, better=0.1)
    half = np.arange(6000) % 2 == 0
    live = apart(many[0][half], many[2][half], many[1][~half], many[2][~half])
    assert live[0].sign == 1


def test_the_same_version_twice_differs_in_nothing():
    champion, _, approved = answers(np.random.default_rng(6), 500, correlation=0.8, better=0.0)
    auc, precision = paired(champion, champion, approved)
    assert (auc.value, auc.sign, precision.value, precision.sign) == (0, 0, 0, 0)


def test_two_versions_that_were_never_wrong_are_not_sure():
    approved = np.arange(60) % 2 == 0
    sure = np.where(approved, 0.9, 0.1)
    _, precision = paired(sure, sure, approved)
    assert precision.champion == precision.challenger == 1
    assert precision.high > 0.1


@pytest.mark.parametrize("approvals", [0, FEWEST - 1])
def test_few_plans_of_one_kind_are_not_compared(approvals: int):
    approved = np.arange(200) < approvals
    confidence = np.linspace(0, 0.7, 200)
    assert paired(confidence, confidence, approved) == (None, None)
    assert apart(confidence, approved, np.empty(0), np.empty(0, dtype=bool)) == (None, None)
