"""The gates of the benchmark: `judge` decides as a twin that is written independently, and mistakes are counted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, binomtest, norm

from benchmarks.gate_evidence import CANDIDATE, LABEL, RIVAL, Counts, Evidence, Question, difference
from benchmarks.gate_history import MILD, History, Mistakes, decide, mistakes, slide
from benchmarks.gate_judge import JudgeGate, reports
from benchmarks.gate_rules import FIRST_RULES, RULES, FirstGate, FoldGate, McNemarGate, PooledWeeksGate, WilsonGate
from benchmarks.gate_scenarios import ALTERNATIVES, FIRST, OURS, year
from benchmarks.gate_world import Recipe, World
from nhm_assets.evaluation.gate import failed_gate, judge
from nhm_assets.evaluation.posteriors import f1_difference

SMALL = Recipe(histories=20, weeks=8)
CELL_SHARES = (0.44, 0.02, 0.03, 0.07, 0.06, 0.02, 0.03, 0.33)
"""About those of a candidate above the line and a champion as good as it."""


def evidence(size: int = 300, *, week_is_over: bool = True, seed: int = 1) -> Evidence:
    """Random counts of candidates around the line."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.array(CELL_SHARES) * 300, size)
    rows = rng.integers(110, 310, size)

    def cells(times: int) -> np.ndarray:
        return np.stack([rng.multinomial(times * n, share) for n, share in zip(rows, shares, strict=True)])

    return Evidence(
        segments=np.stack([cells(1) for _ in range(3)], axis=1),
        fair=cells(2),
        reference_fair=cells(2),
        champion_is_reference=rng.random(size) < 0.3,
        week_is_over=week_is_over,
    )


@pytest.mark.parametrize("week_is_over", [True, False], ids=["closed week", "mid-week"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"gate_confidence": 0.8}, {"gate_midweek_confidence": 0.95}, {"reference_weeks": 0}, {"min_test_rows": 250}],
    ids=str,
)
def test_judge_decides_300_reports_as_its_twin_does(changes: dict[str, Any], *, week_is_over: bool):
    rules, asked = replace(RULES, **changes), evidence(week_is_over=week_is_over)
    enough = asked.test.sum(axis=1) >= rules.min_test_rows
    judged = JudgeGate(rules)(asked)
    assert (judged == (FoldGate(rules)(asked) & enough)).all()
    assert 10 < judged.sum() < 290


def test_judge_decides_as_its_twin_without_folds():
    asked = evidence()
    judged = JudgeGate(FIRST_RULES)(asked)
    assert (judged == FirstGate()(asked)).all()
    assert (judged != FoldGate()(asked)).any()


@pytest.mark.parametrize(
    ("twin", "changes"),
    [
        ("gate_confidence", {"gate_confidence": 0.55}),
        ("gate_midweek_confidence", {"gate_midweek_confidence": 0.85}),
        ("max_f1_regression", {"max_f1_regression": 0.012}),
        ("max_f1_regression_to_reference", {"max_f1_regression_to_reference": 0.023}),
    ],
)
def test_a_twin_with_slightly_other_rules_is_noticed(twin: str, changes: dict[str, float]):
    asked = evidence(600, week_is_over=False)
    assert (JudgeGate()(asked) != FoldGate(replace(RULES, **changes))(asked)).any()


def test_reports_are_those_that_validation_would_make():
    asked = evidence(40)
    assert reports(asked, RULES) == reports(asked, RULES, validated=True)
    assert reports(asked, FIRST_RULES) == reports(asked, FIRST_RULES, validated=True)


def test_each_check_of_the_gate_that_looks_at_rows_holds_some_candidates():
    held = {name for report in reports(evidence(), RULES) for name in failed_gate(judge(report, RULES))}
    assert held >= {
        "precision_threshold",
        "recall_threshold",
        "f1_threshold",
        "not_worse_than_production",
        "thresholds_on_folds",
        "not_worse_on_folds",
        "not_worse_than_reference",
    }


def test_the_figures_of_300_verdicts_are_the_twin_s():
    asked = evidence(week_is_over=False)
    probabilities, (differences, errors) = FoldGate().probability(asked.pooled), difference(asked.fair)
    for one, report in enumerate(reports(asked, RULES)):
        figures = {verdict.check: verdict.figures for verdict in judge(report, RULES)}
        found = figures["thresholds_on_folds"]
        smaller = min(found["probability_of_precision"], found["probability_of_recall"])
        assert smaller == pytest.approx(probabilities[one], abs=1e-9)
        limit = differences[one] - norm.ppf(0.8) * errors[one]
        assert figures["not_worse_on_folds"]["lower_limit"] == pytest.approx(limit, abs=1e-9)


def test_the_probabilities_are_those_of_the_beta_distribution():
    asked = evidence(50)
    counts = Counts.of(asked.pooled, CANDIDATE)
    exact = [
        min(beta.sf(0.75, tp + 0.5, fp + 0.5), beta.sf(0.70, tp + 0.5, fn + 0.5))
        for tp, fp, fn in zip(counts.tp, counts.fp, counts.fn, strict=True)
    ]
    assert FoldGate().probability(asked.pooled) == pytest.approx(exact, abs=1e-9)


def test_the_difference_is_that_of_the_product_row_by_row():
    cells = evidence(20).fair
    found, errors = difference(cells)
    for one, counts in enumerate(cells):
        labels, calls, rival = (np.repeat(part == 1, counts) for part in (LABEL, CANDIDATE, RIVAL))
        exact = f1_difference(labels, calls, rival)
        assert found[one] == pytest.approx(exact.difference, abs=1e-12)
        assert errors[one] == pytest.approx(exact.standard_error, abs=1e-12)


def test_the_standard_error_is_that_of_a_paired_bootstrap():
    counts = evidence(1).fair[0]
    samples = np.random.default_rng(1).multinomial(counts.sum(), counts / counts.sum(), 20_000)
    differences, _ = difference(samples)
    assert difference(counts)[1] == pytest.approx(differences.std(), rel=0.03)


def test_wilson_s_bound_is_scipy_s():
    bound = WilsonGate(0.95)._bound(np.array([60]), np.array([20]))
    exact = binomtest(60, 80).proportion_ci(0.90, method="wilson").low
    assert bound == pytest.approx([exact])


def test_mcnemar_s_test_is_scipy_s():
    cells = np.array([[80, 9, 3, 20, 20, 2, 4, 60]])
    only_candidate, only_champion = 9 + 4, 3 + 2
    p_value = binomtest(only_candidate, only_candidate + only_champion, alternative="less").pvalue
    for level, passes in ((p_value - 1e-6, True), (p_value + 1e-6, False)):
        assert McNemarGate(level).is_not_worse(cells).tolist() == [passes]


def test_pooled_weeks_decide_by_the_newest_weeks_together():
    good, bad = ([[60, 0, 0, 10, 5, 0, 0, 45]], [[10, 0, 0, 60, 45, 0, 0, 5]])
    gate = PooledWeeksGate(2)
    weeks = [replace(evidence(1), segments=np.array([[week[0]] * 3])) for week in (bad, good, good)]
    assert [bool(gate(week)[0]) for week in weeks] == [False, False, True]


def test_promotions_follow_the_decisions_and_the_reference_is_the_champion_of_eight_weeks_ago():
    world = World(replace(SMALL, weeks=12), 1)
    asked: list[tuple[int, int]] = []

    class EveryThird(FirstGate):
        rules = RULES

        def __init__(self) -> None:
            self.weeks = 0

        def __call__(self, _: Evidence) -> np.ndarray:
            self.weeks += 1
            return np.full(len(world.histories), self.weeks % 3 == 0)

    evidence_of = Question.evidence

    def recording(self: Question, champion: np.ndarray, reference: np.ndarray) -> Evidence:
        asked.append((int(champion[0]) - world.first + 1, int(reference[0]) - world.first + 1))
        return evidence_of(self, champion, reference)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Question, "evidence", recording)
        history = decide(world, {"third": EveryThird()})["third"]
    assert [champion for champion, _ in asked] == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9]
    assert [reference for _, reference in asked] == [0] * 11 + [3]
    assert (history.last == world.first + 11).all()


def truth_of(world: World, period: int, born: int) -> float:
    return float(world.truth(np.full_like(world.histories, born), period).f1[0])


def test_a_promotion_is_bad_if_the_version_is_truly_below_the_line_or_the_champion():
    """A candidate 0.3 of u below the champion, far above the line; then a candidate as good, far below the line."""
    still = Recipe(
        histories=10,
        weeks=6,
        noise_sd=(0.0, 0.0),
        drift_sd=0.0,
        wave_sd=0.0,
        poisoned_weeks=None,
    )
    for distance, start in ((0.2, 0.3), (-0.1, 0.0)):
        world = World(replace(still, distance=(distance, distance), start=(start,)), 1)
        shape = (6, 10)
        periods = list(range(world.first, world.periods))
        champion = np.full(shape, world.first - 1)
        for promotes in (True, False):
            found = mistakes(world, History(periods, champion, np.full(shape, promotes)))
            assert (found.mild == promotes).all()
            assert (found.serious == promotes).all()
            assert not found.wrong_holds.any()
        assert found.served_f1[:, 0] == pytest.approx(truth_of(world, world.first, world.first - 1))


def test_a_good_candidate_that_is_held_counts_as_a_wrong_hold_per_52_weeks():
    world = World(
        Recipe(
            histories=10,
            weeks=8,
            distance=(0.05, 0.05),
            noise_sd=(0.0, 0.0),
            drift_sd=0.0,
            start=(-0.1,),
            wave_sd=0.0,
            poisoned_weeks=None,
        ),
        1,
    )
    periods = list(range(world.first, world.periods))
    held = History(periods, np.full((8, 10), world.first - 1), np.zeros((8, 10), dtype=bool))
    found = mistakes(world, held)
    assert found.per_year("wrong_holds") == (pytest.approx(52), 0)
    assert found.per_year("mild") == (0, 0)
    assert slide(world, held) == pytest.approx(0.0)
    left = np.full((8, 10), world.first - 1)
    left[2:4] = periods[1]
    gained = truth_of(world, world.first, world.first) - truth_of(world, world.first, world.first - 1)
    assert slide(world, replace(held, champion=left))[0] == pytest.approx(gained)


def test_candidates_that_learned_the_poisoned_week_are_counted():
    weeks, poisoned = np.arange(1.0, 11.0), np.array([2, 4])
    always = np.ones((10, 2), dtype=bool)
    found = Mistakes(weeks, always, always, always, always, always, always.astype(float))
    assert found.after_poison("mild", poisoned) == (5, 0)
    never_after = Mistakes(weeks, *[always & (weeks < 3)[:, None]] * 5, always.astype(float))
    assert never_after.after_poison("mild", poisoned) == (0, 0)


def test_a_small_year_shows_what_the_large_one_does():
    """Forty specialists for half a year, with the same seed each time."""
    found = year(Recipe(histories=40, weeks=26, poisoned_weeks=(8, 20)))
    gates = found["gates"]
    assert list(gates) == [FIRST, OURS, *ALTERNATIVES]
    assert found["twin"] == {"decisions": 2 * 26 * 40, "differ": 0}
    assert gates[OURS]["mild"][0] < gates[FIRST]["mild"][0] < gates["McNemar alone, 5 %"]["mild"][0]
    assert gates[FIRST]["wrong_holds"][0] < gates[OURS]["wrong_holds"][0]
    assert MILD == (0.02, 0.01)
