"""What `promoted_version` says first: what was done, by which rule, and why what got worse was allowed."""

from typing import Any

import pytest

from nhm_assets.domain.fold_records import FairRows
from nhm_assets.domain.records import Champion, ForeignChampion
from nhm_assets.promotion.argument import argument
from tests.support.reports import champion, metrics, new_rows, report


def text(*, previous: str | None = "1", **changes: Any) -> str:
    return argument(report(**changes), previous=previous, max_f1_regression=0.01)


def against(**changes: float) -> Champion:
    return champion(0.87).model_copy(update={"metrics": metrics(**changes)})


def test_it_says_what_was_done_and_by_which_rule():
    said = text(champion=against(), flip_rate=0.03)
    assert said.startswith("**PROMOTED**: technical 2026-03-01, version 2 is in Production. It replaces version 1.")
    assert "Rule: all 10 gate checks on `evaluation_report` passed for exactly this report." in said
    assert "| F1 | 0.870 | 0.870 | +0.000 |" in said
    assert "On 3% of the samples" in said


def test_equal_f1_and_lower_accuracy_are_argued():
    said = text(champion=against(accuracy=0.83))
    assert "F1 equal.\nAccuracy 0.030 lower: allowed, since no check decides by accuracy." in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"f1": 0.85}, "F1 0.020 higher."),
        ({"f1": 0.875}, "F1 0.005 lower: allowed, since MAX_F1_REGRESSION is 0.010."),
        ({"precision": 0.92}, "Precision 0.020 lower: allowed, since only the thresholds decide by precision."),
        (
            {"precision": 0.92, "recall": 0.9},
            (
                "Precision 0.020 lower, recall 0.050 lower: allowed, since only the thresholds decide by precision and"
                " recall."
            ),
        ),
    ],
)
def test_what_got_worse_is_argued(changes: dict[str, float], sentence: str):
    assert sentence in text(champion=against(**changes)).splitlines()


def test_a_champion_that_learned_test_rows_is_compared_on_the_others():
    fair = FairRows(rows=120, approvals=60, left_out=80, f1=0.87, champion_f1=0.86)
    said = text(champion=champion(0.95), new_rows=new_rows(test=fair))
    assert "F1 0.080 lower on all test rows: allowed, since the champion has learned 80 of them or their plans." in said
    assert "On the 120 others it is 0.870 against 0.860." in said


def test_without_a_champion_it_says_what_decided():
    assert "There was no champion to compare with" in text(previous=None)
    assert "It replaces no other version." in text(previous=None)
    foreign = ForeignChampion(version="9", reason="this platform did not register it")
    assert "Version 9 is foreign and was not compared" in text(previous="9", foreign_champion=foreign)


def test_it_is_short_enough_to_be_shown_at_once():
    long_names = {"specialist": "a-specialist-with-a-name-of-forty-chars-x", "version": "123456"}
    fair = FairRows(rows=123456, approvals=60, left_out=123456, f1=0.87, champion_f1=0.86)
    worse = against(f1=0.99, precision=0.99, recall=0.99, accuracy=0.99)
    assert len(text(champion=worse, new_rows=new_rows(test=fair), flip_rate=0.5, **long_names)) < 1000
