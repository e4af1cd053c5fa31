"""Flip rate and what would settle it ask the gate itself, about reports that are computed from sums over plans."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.fold_records import FairRows, Fold, Reference
from nhm_assets.domain.outcomes import HeldAs
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.doubt import Evidence, Samples, with_doubt
from nhm_assets.evaluation.folds import PooledRows
from nhm_assets.evaluation.gate import judge
from nhm_assets.evaluation.held_as import held_as
from nhm_assets.evaluation.posteriors import count_calls, f1_difference
from tests.support.reports import RULES, champion, metrics, new_rows, report

ROWS = 900


def evidence(wrong: float, *, plan_size: int = 1, copies: int = 1, folds: bool = True) -> Evidence:
    """Rows of a candidate that is wrong in this share of them, and of a champion and a reference that are alike."""
    draw, count = np.random.default_rng(1), ROWS // copies
    truth = draw.random(count) < 0.42
    called = np.where(draw.random(count) < wrong, ~truth, truth)
    others = (np.where(draw.random(count) < share, ~called, called) for share in (0.05, 0.08, 0.45))
    labels, candidate, rival, reference, dummy = (np.repeat(part, copies) for part in (truth, called, *others))
    fair = np.arange(ROWS) >= ROWS // 2
    rows = PooledRows(
        rows=pd.DataFrame(index=range(ROWS)),
        segment=1 + np.arange(ROWS) * 3 // ROWS if folds else np.full(ROWS, 3),
        plan_ids=np.array([f"plan-{number // plan_size}" for number in range(ROWS)], dtype="object"),
        labels=labels,
        candidate=candidate,
        champion=rival,
        fair=fair,
    )
    return Evidence(rows, fair, reference, fair, {"most_frequent": np.zeros(ROWS, dtype=bool), "stratified": dummy})


def report_on(found: Evidence, *, folds: bool = True, **changes: Any) -> EvaluationReport:
    """The report of these rows, computed row by row."""
    rows, test, fair = found.rows, found.rows.test, found.rows.fair & found.rows.test
    counts = count_calls(rows.labels[test], rows.candidate[test])
    precision, recall = counts.tp / (counts.tp + counts.fp), counts.tp / (counts.tp + counts.fn)
    confusion = [[counts.tn, counts.fp, 0], [counts.fn, counts.tp, 0], [0, 0, 0]]
    fields: dict[str, Any] = {
        "candidate": metrics(precision=precision, recall=recall, f1=counts.f1, confusion=confusion),
        "test_rows": counts.rows,
        "test_approvals": counts.tp + counts.fn,
        "baseline_f1": {name: count_calls(rows.labels[test], calls[test]).f1 for name, calls in found.dummies.items()},
        "champion": champion(_f1(rows.labels, rows.champion, test)),
        "new_rows": new_rows(
            test=FairRows(
                rows=int(fair.sum()),
                approvals=int(rows.labels[fair].sum()),
                left_out=int((test & ~fair).sum()),
                f1=_f1(rows.labels, rows.candidate, fair),
                champion_f1=_f1(rows.labels, rows.champion, fair),
            )
        ),
        "folds": None,
        "pooled": None,
        "reference": None,
    }
    compared = f1_difference(*(part[found.compared] for part in (rows.labels, rows.candidate, rows.champion)))
    fields |= {"fair_rows": compared.rows, "difference": compared.difference, "standard_error": compared.standard_error}
    if folds:
        chosen = found.reference_rows
        against = f1_difference(*(part[chosen] for part in (rows.labels, rows.candidate, found.reference)))
        fields["folds"] = [Fold(number=number, learned_rows=300, tested_rows=300) for number in (1, 2)]
        fields["pooled"] = count_calls(rows.labels, rows.candidate)
        fields["reference"] = Reference(weeks=8, version="0", rows=against.rows, difference=against.difference)
    return report(**(fields | changes))


def _f1(labels: np.ndarray, calls: np.ndarray, chosen: np.ndarray) -> float:
    return count_calls(labels[chosen], calls[chosen]).f1


@pytest.mark.parametrize("wrong", [0.02, 0.16, 0.2, 0.3])
@pytest.mark.parametrize("plan_size", [1, 3])
def test_the_report_of_all_plans_is_the_report(wrong, plan_size):
    """Computed from sums, as those of the samples are: the gate says the same, to the last figure of each sentence."""
    found = evidence(wrong, plan_size=plan_size)
    made = report_on(found)
    samples = Samples.of(made, found)
    (again,) = samples.reports(samples.plans.total[None, :])
    assert [verdict.reason for verdict in judge(again, RULES)] == [verdict.reason for verdict in judge(made, RULES)]
    assert again.standard_error == pytest.approx(made.standard_error)
    assert again.reference.difference == pytest.approx(made.reference.difference)


def test_the_report_of_a_sample_is_that_of_its_rows():
    """Each plan twice, computed from sums and from the rows."""
    found = evidence(0.2)
    samples = Samples.of(report_on(found), found)
    (doubled,) = samples.reports(2 * samples.plans.total[None, :])
    again = [np.concatenate([part, part]) for part in (found.rows.labels, found.rows.candidate, found.rows.champion)]
    chosen = np.concatenate([found.compared, found.compared])
    compared = f1_difference(*(part[chosen] for part in again))
    assert (doubled.fair_rows, doubled.test_rows) == (compared.rows, 600)
    assert (doubled.difference, doubled.standard_error) == pytest.approx((compared.difference, compared.standard_error))


def test_a_clear_decision_does_not_flip_and_one_near_the_line_does():
    rates = {wrong: with_doubt(report_on(evidence(wrong)), evidence(wrong), RULES).flip_rate for wrong in (0.02, 0.3)}
    assert rates == {0.02: 0, 0.3: 0}
    near = evidence(0.19)
    assert 0.1 < with_doubt(report_on(near), near, RULES).flip_rate < 0.6


def test_a_candidate_held_by_a_rule_that_is_no_estimate_does_not_flip():
    near = evidence(0.19)
    made = report_on(near, foreign_champion={"version": "7", "reason": "it answers labels"})
    assert with_doubt(made, near, RULES.__class__(**(vars(RULES) | {"foreign_champion": "refuse"}))).flip_rate == 0


def test_rows_of_the_same_plan_make_the_decision_less_sure():
    """Each row five times: as if five plans had said it, and as one plan said it."""
    apart, together = (evidence(0.15, copies=5, plan_size=size) for size in (1, 5))
    rates = [with_doubt(report_on(found), found, RULES).flip_rate for found in (apart, together)]
    assert rates[0] < rates[1] / 2


def test_only_for_an_uncertain_candidate_it_is_said_what_would_settle_it():
    passing, uncertain, below = (
        with_doubt(report_on(evidence(wrong)), evidence(wrong), RULES) for wrong in (0.02, 0.22, 0.3)
    )
    assert [held_as(made, RULES) for made in (passing, uncertain, below)] == [None, HeldAs.UNCERTAIN, HeldAs.BELOW]
    assert (passing.settling, below.settling) == (None, None)
    assert uncertain.settling.plans > 100
    assert uncertain.settling.below >= 0.8


def test_without_folds_the_test_rows_alone_are_resampled():
    """The first checks had failed. A sample that passes them is judged as if there were no fold that counts."""
    near = evidence(0.2, folds=False)
    made = with_doubt(report_on(near, folds=False), near, RULES)
    assert 0.05 < made.flip_rate < 0.6
    assert made.folds is None
    assert made.pooled is None


def test_without_champion_or_reference_only_the_thresholds_are_resampled():
    near = evidence(0.19)
    rows = PooledRows(**{**vars(near.rows), "champion": None})
    alone = Evidence(rows, None, None, None, near.dummies)
    made = report_on(
        near,
        champion=None,
        new_rows=None,
        difference=None,
        standard_error=None,
        fair_rows=None,
        reference=Reference(weeks=8, reason="no version was in Production 8 weeks before"),
    )
    assert 0.1 < with_doubt(made, alone, RULES).flip_rate < 0.6


def test_flip_rate_and_settling_are_seeded():
    found = evidence(0.22)
    assert with_doubt(report_on(found), found, RULES) == with_doubt(report_on(found), found, RULES)
