"""Counts of eight kinds of rows give the same difference and standard error as the rows themselves."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nhm_assets.evaluation.paired_counts import f1_difference, one_hot


def rows(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.random(count) < 0.4
    first, second = (np.where(draw.random(count) < wrong, ~truth, truth) for wrong in (0.2, 0.3))
    return truth, first, second


@pytest.mark.parametrize("seed", range(5))
def test_f1_and_standard_error_are_those_of_the_rows(seed):
    truth, first, second = rows(seed)
    found_first, found_second, error = f1_difference(one_hot(truth, first, second).sum(axis=0))
    assert found_first == pytest.approx(f1_score(truth, first))
    assert found_second == pytest.approx(f1_score(truth, second))
    y, c, k = (part.astype(float) for part in (truth, first, second))
    influence = (2 * y * c - found_first * (y + c)) / (y + c).sum() - (2 * y * k - found_second * (y + k)) / (
        y + k
    ).sum()
    assert error == pytest.approx(np.sqrt((influence**2).sum()))


def test_the_standard_error_is_that_of_the_paired_bootstrap():
    truth, first, second = rows(1)
    kinds = one_hot(truth, first, second)
    draws = np.random.default_rng(2).multinomial(300, kinds.mean(axis=0), size=20_000)
    firsts, seconds, _ = f1_difference(draws)
    assert f1_difference(kinds.sum(axis=0))[2] == pytest.approx(np.std(firsts - seconds), rel=0.03)


def test_many_samples_are_computed_at_once():
    counts = np.array([one_hot(*rows(seed)).sum(axis=0) for seed in range(4)])
    together = f1_difference(counts)
    for position, alone in enumerate(counts):
        assert [part[position] for part in together] == pytest.approx(list(f1_difference(alone)))


def test_a_model_does_not_differ_from_itself():
    truth, first, _ = rows(3)
    one, other, error = f1_difference(one_hot(truth, first, first).sum(axis=0))
    assert (one - other, error) == (0, 0)


def test_without_any_approval_f1_is_0():
    nothing = np.zeros(10, dtype=bool)
    assert f1_difference(one_hot(nothing, nothing, nothing).sum(axis=0)) == (0, 0, 0)
