"""The simulated world is the one that is described: what its models call, which rows they learned, what is poisoned."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from benchmarks.gate_evidence import CANDIDATE, Counts, Question
from benchmarks.gate_world import FOLD_1, FOLD_2, TEST, Recipe, World

SMALL = Recipe(histories=20, weeks=6, poisoned_weeks=None)
STILL = replace(SMALL, noise_sd=(0.0, 0.0), drift_sd=0.0, wave_sd=0.0, fold_noise=0.0, start=(0.0,))
"""Nothing happens: all models of a history are equally good."""


@cache
def world(recipe: Recipe = SMALL, seed: int = 1) -> World:
    return World(recipe, seed)


def models(of: World, period: int) -> np.ndarray:
    return np.full_like(of.histories, period)


def test_a_model_without_noise_is_as_good_as_its_recipe_says():
    still = world(replace(STILL, distance=(0.05, 0.05)))
    truth = still.truth(models(still, still.first), still.first)
    assert truth.precision == pytest.approx(0.80)
    assert truth.recall == pytest.approx(0.75)
    assert truth.f1 == pytest.approx(2 * 0.80 * 0.75 / 1.55)


@pytest.mark.parametrize(("kind", "lost"), [(TEST, 0.0), (FOLD_2, 0.008), (FOLD_1, 0.014)])
def test_calls_are_right_as_often_as_the_truth_says(kind: int, lost: float):
    """Each history has thousands of rows, so the counted rates are within four standard errors."""
    still = world(replace(STILL, histories=40, rows=(20_000, 20_000), distance=(0.0, 0.0)))
    seen, calls = still.seen(still.first), still.candidate_calls(still.first)
    cells = [np.bincount((4 * seen + 2 * calls)[still.segments == kind], minlength=8)]
    recall = Counts.of(np.array(cells), CANDIDATE).recall[0]
    expected = world(replace(STILL, distance=(0.0, 0.0), start=(-lost,)))
    truth = expected.truth(models(expected, expected.first - 1), expected.first).recall[0]
    assert recall == pytest.approx(truth, abs=4 * (0.25 / cells[0].sum()) ** 0.5)


def test_an_able_model_calls_others_approve_as_seldom_as_the_truth_says():
    able = world(replace(STILL, histories=40, rows=(20_000, 20_000), distance=(0.0, 0.0), start=(0.3,)))
    born = models(able, able.first - 1)
    codes = np.where(able.segments == TEST, 4 * able.seen(able.first) + 2 * able.calls(born, able.first), 8)
    cells = np.stack([np.bincount(one.ravel(), minlength=9)[:8] for one in codes])
    counts, truth = Counts.of(cells, CANDIDATE), able.truth(born, able.first)
    assert (counts.precision - truth.precision).mean() == pytest.approx(0, abs=0.006)
    assert (counts.recall - truth.recall).mean() == pytest.approx(0, abs=0.006)
    assert truth.precision.min() > 0.78


def test_a_tenth_of_ability_is_about_0_035_of_f1():
    better = world(replace(STILL, start=(0.1,)))
    first = better.first
    gained = better.truth(models(better, first - 1), first).f1 - better.truth(models(better, first), first).f1
    assert 0.03 < gained.mean() < 0.04


def test_latents_of_two_models_correlate_as_described():
    still = world(replace(STILL, histories=40, rows=(20_000, 20_000), distance=(0.0, 0.0)))
    mine = still.seen(still.first) & (still.segments >= TEST)
    one, other = (still.calls(models(still, still.first - born), still.first)[mine] for born in (1, 2))
    cut = ndtri(still.truth(models(still, still.first), still.first).recall[0])
    both = multivariate_normal.cdf([cut, cut], cov=[[1, 0.95], [0.95, 1]])
    assert (one & other).mean() == pytest.approx(both, abs=4 * (0.25 / len(one)) ** 0.5)
    assert (one != other).any()


def test_a_model_calls_a_row_alike_whenever_it_is_asked():
    drifting = world()
    born = models(drifting, drifting.first)
    then, later = (drifting.calls(born, drifting.first + weeks) for weeks in (0, 1))
    assert (then[:, 0] == later[:, 1]).all()
    assert (then[:, 0] != drifting.calls(born + 1, drifting.first)[:, 0]).any()


def test_test_rows_are_15_percent_of_the_window_and_the_folds_are_the_two_blocks_before():
    found = world()
    per_window = found.recipe.rows
    sizes = np.stack([(found.segments == kind).sum(axis=(1, 2)) for kind in (TEST, FOLD_2, FOLD_1)])
    assert (sizes >= 0.15 * per_window[0] - 2).all()
    assert (sizes <= 0.15 * per_window[1] + 2).all()
    assert np.ptp(sizes, axis=0).max() <= 2
    assert found.ages[found.segments == TEST].max() < 4.5 <= found.ages[found.segments == FOLD_2].min()
    assert found.ages[found.segments == FOLD_1].max() < 13.5


@pytest.mark.parametrize(("weeks_older", "days"), [(1, 11.5), (2, 13.5), (3, 13.5)])
def test_rows_that_a_version_has_learned_are_not_compared(weeks_older: int, days: float):
    found = world()
    period = found.first + 3
    born = models(found, period - weeks_older)
    evidence = Question(found, period).evidence(born, born)
    expected = evidence.pooled.sum(axis=1) * days / 13.5
    assert evidence.fair.sum(axis=1) == pytest.approx(expected, abs=2)
    assert (evidence.test.sum(axis=1) == (found.segments == TEST).sum(axis=(1, 2))).all()


def test_a_poisoned_week_shows_other_rows_as_approved_and_changes_no_truth():
    clean, poisoned = (world(replace(SMALL, rows=(9000, 9000), poisoned_weeks=weeks)) for weeks in (None, (2, 2)))
    asked = poisoned.segments[:, 0] >= TEST
    others = ~poisoned._approved
    assert (poisoned.poisoned == 2).all()
    for week in range(5):
        period = poisoned.first + week
        wrong = (poisoned.seen(period)[:, 0] & others[:, period])[asked].sum() / others[:, period][asked].sum()
        assert wrong == pytest.approx(0.4 if week == 2 else 0.0, abs=0.02)
    assert (clean.seen(clean.first)[:, 0] == clean._approved[:, clean.first]).all()


@pytest.mark.parametrize(("weeks_after", "learned"), [(-1, 0), (0, 0.35), (1, 1), (3, 1), (4, 0.35), (5, 0)])
def test_five_candidates_learn_a_poisoned_week(weeks_after: int, learned: float):
    poisoned = world(replace(STILL, weeks=12, poisoned_weeks=(3, 3)))
    period = poisoned.first + 3 + weeks_after
    assert poisoned._u[TEST][:, period] == pytest.approx(-0.15 * learned)
    assert poisoned._v[TEST][:, period] == pytest.approx(0.10 * learned)


def test_versions_age_as_the_world_moves():
    drifting = world(replace(STILL, histories=200, weeks=9, drift_sd=1.0))
    period = drifting.periods - 1
    losses = [
        (
            drifting.truth(models(drifting, period), period).f1
            - drifting.truth(models(drifting, period - weeks), period).f1
        )
        for weeks in (1, 8)
    ]
    assert 0 < 2 * losses[0].mean() < losses[1].mean()
    assert losses[1].min() >= 0


@pytest.mark.parametrize("period_days", [7.0, 1.4])
def test_training_noise_has_its_deviation_and_its_memory_from_week_to_week(period_days: float):
    noisy = world(Recipe(histories=1500, weeks=3, rows=(100, 100), period_days=period_days, poisoned_weeks=None))
    now, before = (noisy._u[TEST][:, noisy.first + period] for period in (noisy.per_week, 0))
    assert now.std() == pytest.approx(0.028, rel=0.08)
    assert np.corrcoef(now, before)[0, 1] == pytest.approx(0.55, abs=0.08)


def test_rows_of_a_plan_are_equal_and_a_plan_may_come_back():
    shared = world(replace(SMALL, rows_per_plan=2, recurring=0.5))
    for part in (shared._row_keys, shared._common, shared._approved):
        assert (part[..., 0] == part[..., 1]).all()
    back = shared._row_keys[:, 1:] == shared._row_keys[:, :-1]
    assert back.mean() == pytest.approx(0.5, abs=0.02)
    assert not (world()._row_keys[:, 1:] == world()._row_keys[:, :-1]).any()


def test_the_same_seed_makes_the_same_world():
    again, other = World(SMALL, 1), World(SMALL, 2)
    for period in (again.first, again.periods - 1):
        assert (again.candidate_calls(period) == world().candidate_calls(period)).all()
    assert not np.array_equal(other._u, world()._u)
