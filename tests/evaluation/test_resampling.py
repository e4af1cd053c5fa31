"""Samples of plans: rows of a plan stay together, sums are exact, and the distribution is that of the bootstrap."""

import numpy as np
import pytest

from nhm_assets.evaluation.resampling import PlanSums

IDS = np.array(["b", "a", "b", "c", "a", "b"], dtype="object")
COLUMNS = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [1, 1]])
SUMS = PlanSums.of(IDS, COLUMNS)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_rows_are_added_up_by_plan_in_the_order_of_appearance():
    assert SUMS.sums.tolist() == [[3, 2], [1, 1], [0, 0]]
    assert SUMS.total.tolist() == [4, 3]


def test_truth_values_are_counted():
    assert PlanSums.of(IDS, COLUMNS.astype(bool)).sums.tolist() == SUMS.sums.tolist()


def test_rows_without_a_plan_id_belong_together():
    ids = np.array(["a", None, None], dtype="object")
    assert PlanSums.of(ids, np.ones((3, 1))).sums.tolist() == [[1], [2]]


def test_each_sample_holds_whole_plans_as_many_as_there_are():
    drawn = SUMS.resampled(rng(), 500)
    possible = {tuple(SUMS.sums[list(plans)].sum(axis=0)) for plans in np.ndindex(3, 3, 3)}
    assert {tuple(sample) for sample in drawn} == possible


def test_samples_have_the_mean_and_the_variance_of_the_bootstrap():
    sums = PlanSums(np.random.default_rng(1).integers(5, size=(40, 3)))
    for drawn in (sums.resampled(rng(), 20_000), sums.further(rng(), 20_000, 40)):
        assert drawn.mean(axis=0) == pytest.approx(sums.total, rel=0.01)
        assert drawn.var(axis=0) == pytest.approx(40 * sums.sums.var(axis=0), rel=0.05)


def test_further_plans_scale_with_their_number():
    drawn = SUMS.further(rng(), 4000, 300)
    assert drawn.mean(axis=0) == pytest.approx(100 * SUMS.total, rel=0.01)


def test_samples_are_seeded_whatever_the_steps(monkeypatch):
    once = SUMS.resampled(rng(), 50)
    assert SUMS.resampled(rng(), 50).tolist() == once.tolist()
    monkeypatch.setattr("nhm_assets.evaluation.resampling._AT_ONCE", 10)
    assert SUMS.resampled(rng(), 50).shape == (50, 2)
