"""PSI, its bins, and the bar that chance seldom passes."""

import numpy as np
import pytest

from nhm_assets.domain.drift_records import Shift
from nhm_assets.drift.bins import Bins, categories
from nhm_assets.drift.psi import bar, levels, psi
from nhm_assets.drift.shifts import shifts


def test_ten_bins_hold_a_tenth_of_what_was_learned_each():
    bins = Bins.of(np.arange(1000, dtype="float64"))
    assert bins.counts == [100] * 10 + [0]


def test_missing_values_have_a_bin_of_their_own():
    bins = Bins.of(np.array([1.0, 2.0, np.nan]))
    assert (bins.counts[-1], bins.rows) == (1, 3)
    assert bins.count(np.array([np.nan, np.nan, 5.0]))[-1] == 2


def test_a_value_that_is_frequent_has_a_bin_of_its_own():
    bins = Bins.of(np.array([0.0] * 60 + list(range(1, 41))))
    assert bins.count(np.array([-1.0]))[0] == 1
    assert bins.counts[:2] == [0, 60]
    constant = Bins.of(np.full(50, 3.0))
    assert [constant.count(np.array([value])).tolist() for value in (2.0, 3.0, 4.0)] == [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
    ]


def test_psi_is_the_sum_over_the_shares():
    learned, came = np.array([500_000, 500_000]), np.array([800_000, 200_000])
    assert psi(learned, came) == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5), abs=1e-4)
    assert psi(learned, learned) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(psi(np.array([10, 0]), np.array([0, 10])))


def test_the_bar_is_passed_as_often_as_it_says():
    draw = np.random.default_rng(5)
    counts = draw.multinomial(200, [0.1] * 10, size=20_000)
    found = psi(draw.multinomial(1000, [0.1] * 10, size=20_000), counts)
    for level in (0.05, 0.005):
        limit = bar([100] * 10, 200, level, found=0.15)
        assert np.mean(found > limit) == pytest.approx(level, rel=0.35)


def test_the_bar_falls_with_the_number_of_plans():
    limits = [bar([100] * 10, plans, 0.005, found=0.3) for plans in (50, 200, 1000)]
    assert limits == sorted(limits, reverse=True)


def test_important_features_share_half_of_the_false_alarms():
    allowed = levels(["a", "b", "c", "d"], ["d"])
    assert (allowed["d"], sum(allowed.values())) == (0.025, pytest.approx(0.05))
    assert levels(["a", "b"], []) == {"a": 0.025, "b": 0.025}


@pytest.mark.parametrize(
    ("psi", "limit", "band"),
    [(0.09, 0.0, "none"), (0.1, 0.05, "some"), (0.25, 0.05, "some"), (0.26, 0.05, "much"), (0.4, 0.45, "none")],
)
def test_a_shift_must_pass_its_band_and_its_bar(psi: float, limit: float, band: str):
    assert Shift(name="x", psi=psi, bar=limit).band == band


def test_a_feature_that_was_always_missing_and_now_has_values_has_moved():
    learned = {"x": Bins.of(np.full(100, np.nan)), "y": Bins.of(np.arange(100.0))}
    came = {"x": learned["x"].count(np.ones(60)), "y": learned["y"].count(np.arange(100.0))}
    found = {shift.name: shift.band for shift in shifts(learned, came)}
    assert found == {"x": "much", "y": "none"}


def test_labels_are_compared_by_their_shares():
    learned = {"labels": categories({"reject": 300, "approve": 400, "review_required": 300}, ("reject", "approve"))}
    (same,) = shifts(learned, {"labels": np.array([60, 80])})
    (moved,) = shifts(learned, {"labels": np.array([110, 30])})
    assert (same.band, moved.band) == ("none", "much")
