"""The decision card: the decision, the figures that decide, and what to do next, in less than 1,000 characters."""

from typing import Any

import pytest

from nhm_assets.domain.fold_records import FairRows
from nhm_assets.evaluation.decision_card import LONGEST, decision_card
from nhm_assets.evaluation.gate import failed_verdicts, judge
from nhm_assets.evaluation.held_as import estimates_of, third_verdict
from tests.support.reports import RULES, champion, metrics, new_rows, report


def card(**changes: Any) -> str:
    judged = report(**changes)
    verdicts = judge(judged, RULES)
    failed = failed_verdicts(verdicts)
    held = third_verdict(estimates_of(judged, RULES), failed) if failed else None
    return decision_card(judged, verdicts, held)


def test_a_candidate_that_passes_is_promoted_next():
    text = card(champion=champion(0.865))
    assert text.startswith("**PASSED**: technical ")
    assert "Every gate check passed." in text
    assert "| F1 | 0.870 | 0.720 | +0.150 | pass |" in text
    assert "| F1 - champion's F1 | 0.005 | -0.010 | +0.015 | pass |" in text
    assert "Champion: version 1, F1 0.865" in text
    assert "Next: nothing to do." in text


def test_a_candidate_below_the_line_says_by_how_much():
    confusion = [[35, 20, 5], [20, 42, 8], [5, 30, 35]]
    candidate = metrics(precision=0.458, recall=0.603, f1=0.521, confusion=confusion)
    text = card(candidate=candidate, folds=None, pooled=None)
    assert text.startswith("**HELD (below the line)**: technical ")
    assert "Precision 0.458 is below the required 0.750 (by 0.292)." in text
    assert "Also failed: recall_threshold, f1_threshold" in text
    assert "| precision | 0.458 | 0.750 | -0.292 | **FAIL** |" in text
    assert "There is no champion to compare with." in text
    assert text.endswith("No version is in Production yet.")


def test_below_the_line_beside_a_champion_the_champion_keeps_serving():
    confusion = [[35, 20, 5], [20, 42, 8], [5, 30, 35]]
    candidate = metrics(precision=0.458, recall=0.603, f1=0.521, confusion=confusion)
    text = card(candidate=candidate, champion=champion(0.865), folds=None, pooled=None)
    assert text.endswith("`feedback_quarantine`. The version in Production keeps serving.")


def test_too_few_test_rows_are_not_judged():
    text = card(test_rows=60, test_approvals=30)
    assert text.startswith("**NOT JUDGED**: ")
    assert "Next: wait for more reviews." in text


@pytest.mark.parametrize("f1", [0.1, 0.7, 0.87])
def test_the_card_is_short_enough_to_be_shown_at_once(f1):
    long_names = {"specialist": "a-specialist-with-a-name-of-forty-chars-x", "version": "123456"}
    text = card(candidate=metrics(f1=f1, precision=f1, recall=f1), champion=champion(0.9), **long_names)
    assert len(text) < LONGEST
    assert "Next: " in text


def test_the_card_compares_on_the_rows_that_the_check_compared_on():
    """On all test rows the champion is better, since it has learned most of them."""
    fair = FairRows(rows=120, approvals=60, left_out=80, f1=0.87, champion_f1=0.86)
    text = card(champion=champion(0.95), new_rows=new_rows(test=fair))
    assert text.startswith("**PASSED**")
    assert "| F1 - champion's F1 | 0.010 | -0.010 | +0.020 | pass |" in text
    assert "FAIL" not in text
