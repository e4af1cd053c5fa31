"""Agreement with people, from scores and labels alone."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nhm_assets.domain.served_records import Calls
from nhm_assets.served.agreement import agreement, auc, calls_approve, counted, decline, f1_variance


def test_a_plan_counts_as_approved_if_approve_is_the_most_probable_class():
    confidence = np.array([0.5, 0.4, 0.34, 0.6, 0.4])
    risk = np.array([0.1, 0.45, 0.33, np.nan, np.nan])
    assert calls_approve(confidence, risk).tolist() == [True, False, True, True, False]


def test_f1_auc_and_brier_are_what_they_say():
    draw = np.random.default_rng(1)
    approved = draw.random(300) < 0.4
    confidence = np.round(np.clip(draw.normal(0.4 + 0.2 * approved, 0.2), 0, 1), 2)
    risk = (1 - confidence) / 2
    found = agreement("3", confidence, risk, approved)
    differences = np.subtract.outer(confidence[approved], confidence[~approved])
    assert found.auc == pytest.approx(np.mean(differences > 0) + np.mean(differences == 0) / 2)
    assert found.calls.f1 == pytest.approx(f1_score(approved, calls_approve(confidence, risk)))
    assert found.brier == pytest.approx(np.mean((confidence - approved) ** 2))
    assert (found.reviewed, found.approvals) == (300, approved.sum())
    assert found.unattended == (confidence >= 0.8).sum()
    assert found.unattended_approved == (approved & (confidence >= 0.8)).sum()


def test_there_is_no_auc_without_both_kinds():
    assert auc(np.array([0.3, 0.9]), np.array([True, True])) is None


def test_the_error_of_f1_is_that_of_the_bootstrap():
    draw = np.random.default_rng(2)
    approved, calls = draw.random(400) < 0.5, draw.random(400) < 0.5
    calls = np.where(draw.random(400) < 0.7, approved, calls)
    picks = draw.integers(400, size=(2000, 400))
    spread = np.std([counted(calls[pick], approved[pick]).f1 for pick in picks])
    assert f1_variance(counted(calls, approved)) ** 0.5 == pytest.approx(spread, rel=0.08)


def test_a_decline_is_measured_against_the_evaluation_and_earlier_weeks():
    found = decline(Calls(tp=30, fp=30, fn=20, tn=20), Calls(tp=40, fp=5, fn=5, tn=50), [Calls(tp=40, fp=5, fn=5)])
    assert (found.expected.tp, found.expected.rows, found.evaluated) == (80, 150, 100)
    assert found.drop == pytest.approx(160 / 180 - 60 / 110)


@pytest.mark.parametrize("recent", [Calls(), Calls(tn=40)])
def test_nothing_is_compared_where_nobody_said_approve(recent: Calls):
    assert decline(recent, Calls(tp=40, fp=5, fn=5, tn=50), []) is None
    assert decline(Calls(tp=40, fp=5, fn=5, tn=50), recent, []) is None
