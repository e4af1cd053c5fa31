"""300 random reports: the gate decides as a calculation does that shares nothing with it but GATE.md's formulas."""

import math
from collections import Counter
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, norm
from sklearn.metrics import f1_score, precision_score, recall_score

from nhm_assets.domain.fold_records import Fold, Reference
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.folds import PooledRows
from nhm_assets.evaluation.gate import GateRules, judge
from nhm_assets.evaluation.pooling import compare, with_comparison, with_folds
from tests.support.documents import WEEK_END
from tests.support.reports import RULES, champion, new_rows, report

REPORTS = 300
RESAMPLES = 20_000
FOLD_CHECKS = ("thresholds_on_folds", "not_worse_on_folds", "not_worse_than_reference")
SIZES = (120, 150, 200, 300)
CONFIDENCES = (0.3, 0.5, 0.7, 0.9)


def called(draw: np.random.Generator, labels: np.ndarray, like: np.ndarray, *, own: float) -> np.ndarray:
    """The calls of a model that agrees with another one, except in some rows."""
    mine = np.where(draw.random(len(labels)) < draw.uniform(0.65, 0.95), labels, ~labels)
    return np.where(draw.random(len(labels)) < own, mine, like)


def random_case(seed: int) -> tuple[EvaluationReport, GateRules, PooledRows, np.ndarray]:
    """A report as the evaluation makes it, from random calls near the thresholds, and the calls of its reference."""
    draw = np.random.default_rng(seed)
    rows = int(draw.choice(SIZES))
    segment = np.repeat([1, 2, 3], rows)
    labels = draw.random(3 * rows) < draw.uniform(0.3, 0.6)
    right = np.where(labels, draw.uniform(0.6, 0.85), draw.uniform(0.75, 0.95))
    candidate = np.where(draw.random(3 * rows) < right, labels, ~labels)
    rival = called(draw, labels, candidate, own=draw.uniform(0.02, 0.2))
    reference = called(draw, labels, candidate, own=draw.uniform(0.02, 0.2))
    fair = np.arange(3 * rows) >= draw.integers(0, 3 * rows - 100)
    plans = np.array([f"plan-{number}" for number in range(3 * rows)])
    pooled = PooledRows(pd.DataFrame(index=range(3 * rows)), segment, plans, labels, candidate, rival, fair)
    rules = GateRules(
        **vars(RULES)
        | {
            "precision_threshold": draw.uniform(0.5, 0.8),
            "recall_threshold": draw.uniform(0.55, 0.75),
            "f1_threshold": draw.uniform(0.55, 0.75),
            "gate_confidence": draw.choice(CONFIDENCES),
            "gate_midweek_confidence": draw.uniform(0.5, 0.95),
            "max_f1_regression": draw.uniform(0.0, 0.03),
            "max_f1_regression_to_reference": draw.uniform(0.0, 0.03),
        }
    )
    early = timedelta(days=int(draw.integers(0, 2)) * 3)
    made = report(champion=champion(0.8), new_rows=new_rows(), window_end=WEEK_END - early, difference=None)
    difference = compare(pooled, reference, np.ones(3 * rows, dtype="bool"))
    against = Reference(weeks=8, version="1", rows=difference.rows, difference=difference.difference)
    folds = [Fold(number=number, learned_rows=600, tested_rows=rows) for number in (1, 2)]
    made, _ = with_comparison(with_folds(made, pooled, folds, against), pooled, rules)
    return made, rules, pooled, reference


def expected(made: EvaluationReport, rules: GateRules, rows: PooledRows, reference: np.ndarray) -> dict[str, bool]:
    """What GATE.md says, by scikit-learn's metrics, scipy's distributions and loops over the rows."""
    y, c, k = (values.tolist() for values in (rows.labels, rows.candidate, rows.champion))
    counts = Counter(zip(y, c, strict=True))
    tp, fp, fn = counts[True, True], counts[False, True], counts[True, False]
    probabilities = (
        beta.sf(rules.precision_threshold, tp + 0.5, fp + 0.5),
        beta.sf(rules.recall_threshold, tp + 0.5, fn + 0.5),
    )
    f1 = f1_score(rows.labels, rows.candidate)
    chosen = [at for at in range(len(y)) if rows.fair[at]]
    difference, error = delta([y[at] for at in chosen], [c[at] for at in chosen], [k[at] for at in chosen])
    z = norm.ppf(rules.gate_midweek_confidence) if made.window_end < WEEK_END else 0.0
    to_reference = f1 - f1_score(rows.labels, reference)
    return {
        "thresholds_on_folds": min(probabilities) >= rules.gate_confidence and f1 >= rules.f1_threshold,
        "not_worse_on_folds": difference - z * error >= -rules.max_f1_regression,
        "not_worse_than_reference": to_reference >= -rules.max_f1_regression_to_reference,
    }


def delta(y: list[bool], c: list[bool], k: list[bool]) -> tuple[float, float]:
    """D and SE of GATE.md, row by row."""
    first, second = f1_score(y, c), f1_score(y, k)
    in_first, in_second = sum(y) + sum(c), sum(y) + sum(k)
    squares = [
        ((2 * a * b - first * (a + b)) / in_first - (2 * a * d - second * (a + d)) / in_second) ** 2
        for a, b, d in zip(map(int, y), map(int, c), map(int, k), strict=True)
    ]
    return first - second, math.sqrt(math.fsum(squares))


@cache
def cases() -> list[tuple[EvaluationReport, GateRules, PooledRows, np.ndarray]]:
    return [random_case(seed) for seed in range(REPORTS)]


@cache
def expectations() -> list[dict[str, bool]]:
    return [expected(*case) for case in cases()]


def test_the_gate_decides_as_an_independent_calculation_does():
    different = []
    for seed, ((made, rules, *_), wanted) in enumerate(zip(cases(), expectations(), strict=True)):
        found = {verdict.check: verdict.passed for verdict in judge(made, rules)}
        if {name: found[name] for name in FOLD_CHECKS} != wanted:
            different.append(seed)
    assert different == []


@pytest.mark.servers
def test_the_figures_in_its_verdicts_agree_to_a_millionth():
    for made, rules, rows, reference in cases():
        found: dict[str, Any] = {verdict.check: verdict.figures for verdict in judge(made, rules)}
        folds, rival = found["thresholds_on_folds"], found["not_worse_on_folds"]
        precision = precision_score(rows.labels, rows.candidate)
        hits = int((rows.labels & rows.candidate).sum())
        misses = int(rows.candidate.sum()) - hits
        assert hits / (hits + misses) == pytest.approx(precision)
        assert folds["probability_of_precision"] == pytest.approx(
            beta.sf(rules.precision_threshold, hits + 0.5, misses + 0.5), abs=1e-6
        )
        missed = int(rows.labels.sum()) - hits
        assert hits / (hits + missed) == pytest.approx(recall_score(rows.labels, rows.candidate))
        assert folds["probability_of_recall"] == pytest.approx(
            beta.sf(rules.recall_threshold, hits + 0.5, missed + 0.5), abs=1e-6
        )
        difference, error = delta(
            *(values[rows.fair].tolist() for values in (rows.labels, rows.candidate, rows.champion))
        )
        assert (rival["difference"], rival["standard_error"]) == pytest.approx((difference, error), abs=1e-6)
        assert found["not_worse_than_reference"]["difference"] == pytest.approx(
            f1_score(rows.labels, rows.candidate) - f1_score(rows.labels, reference), abs=1e-6
        )


def test_the_table_has_reports_that_pass_and_reports_that_fail_each_check():
    """Otherwise it would show nothing."""
    for name in FOLD_CHECKS:
        counted = Counter(one[name] for one in expectations())
        assert min(counted[True], counted[False]) >= REPORTS // 10


def bootstrapped(rows: PooledRows, seed: int) -> np.ndarray:
    """The differences in F1 of 20,000 bootstrap samples of the rows, which are drawn by kind: label and both calls."""
    kinds = (rows.labels + 0) * 4 + (rows.candidate + 0) * 2 + rows.champion
    shares = np.bincount(kinds[rows.fair], minlength=8) / rows.fair.sum()
    drawn = np.random.default_rng(seed).multinomial(rows.fair.sum(), shares, size=RESAMPLES).T
    labelled, first, second = drawn[4:].sum(0), drawn[[2, 3, 6, 7]].sum(0), drawn[1::2].sum(0)
    return 2 * (drawn[6] + drawn[7]) / (labelled + first) - 2 * (drawn[5] + drawn[7]) / (labelled + second)


@pytest.mark.servers
def test_the_standard_error_and_the_decision_in_mid_week_are_those_of_a_bootstrap():
    """The spread of so many samples is known to half a percent; the limit for many rows differs by a little more."""
    decided = []
    for seed, (made, rules, rows, _) in enumerate(cases()):
        differences = bootstrapped(rows, seed)
        assert made.standard_error == pytest.approx(differences.std(), rel=0.04, abs=1e-9), seed
        z = norm.ppf(rules.gate_midweek_confidence) if made.window_end < WEEK_END else 0.0
        above = made.difference - z * differences.std() + rules.max_f1_regression
        if abs(above) > 0.04 * z * made.standard_error + 1e-9:
            decided.append(above > 0)
            found = next(verdict for verdict in judge(made, rules) if verdict.check == "not_worse_on_folds")
            assert found.passed == (above > 0), seed
    assert len(decided) > 0.95 * REPORTS


def test_a_calculation_that_forgets_the_margin_would_be_noticed():
    """The negative twin: other formulas decide otherwise in many of the reports."""
    wrong = 0
    for made, rules, _, _ in cases():
        found = {verdict.check: verdict.passed for verdict in judge(made, rules)}
        wrong += found["not_worse_on_folds"] != (made.difference >= 0)
        wrong += found["thresholds_on_folds"] != (
            made.pooled.tp >= rules.precision_threshold * (made.pooled.tp + made.pooled.fp)
        )
    assert wrong > REPORTS // 10
