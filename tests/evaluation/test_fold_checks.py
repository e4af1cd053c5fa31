"""The checks on folds, against the reference and on the champion: passing, failing and at their boundary."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from scipy.special import betaincinv
from scipy.stats import norm

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.fold_records import FairRows, Pooled, Reference
from nhm_assets.domain.records import EvaluationReport, ForeignChampion
from nhm_assets.evaluation.gate import failed_gate, is_complete, judge, needs_folds
from tests.support.documents import WEEK_END
from tests.support.reports import RULES, champion, fold, metrics, new_rows, report

FOLD_CHECKS = ["thresholds_on_folds", "not_worse_on_folds", "not_worse_than_reference"]
WITHOUT_FOLDS: dict[str, Any] = {"folds": None, "pooled": None, "reference": None}


def judged(made: EvaluationReport, **rules: Any) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in judge(made, replace(RULES, **rules))}


def verdict(check: str, made: EvaluationReport, **rules: Any) -> Verdict:
    return judged(made, **rules)[check]


@pytest.mark.parametrize("threshold", ["precision_threshold", "recall_threshold"])
@pytest.mark.parametrize(("away", "passes"), [(1e-6, False), (-1e-6, True)])
def test_a_rate_must_be_above_its_threshold_with_the_confidence(threshold: str, away: float, passes: bool):  # noqa: FBT001
    made = report(pooled=Pooled(tp=170, fp=25, fn=25, tn=335))
    # At this threshold, the probability is exactly 0.9.
    limit = float(betaincinv(170.5, 25.5, 0.1)) + away
    found = verdict("thresholds_on_folds", made, **{threshold: limit, "gate_confidence": 0.9})
    assert found.passed is passes


def test_a_good_point_estimate_on_few_rows_is_not_sure_enough():
    """80 of 100 are 0.05 above the line, and yet the line is likely enough to ask for more rows."""
    few, many = Pooled(tp=80, fp=20, fn=20, tn=80), Pooled(tp=800, fp=200, fn=200, tn=800)
    assert not verdict("thresholds_on_folds", report(pooled=few), gate_confidence=0.95).passed
    assert verdict("thresholds_on_folds", report(pooled=many), gate_confidence=0.95).passed


def test_the_pooled_f1_must_reach_its_threshold_too():
    made = report(pooled=Pooled(tp=150, fp=50, fn=50, tn=200))
    assert verdict("thresholds_on_folds", made, precision_threshold=0.7, f1_threshold=0.75).passed
    found = verdict("thresholds_on_folds", made, precision_threshold=0.7, f1_threshold=0.7501)
    assert not found.passed
    assert found.reason.startswith("Not sure enough: F1 0.750 is below the required 0.750.")


def test_the_reason_gives_the_verdict_the_rows_and_the_probabilities():
    assert verdict("thresholds_on_folds", report()).reason == (
        "Sure enough. Over 560 rows of the test and of folds 1 and 2, the probability that precision reaches 0.750"
        " is above 0.999, the probability that recall reaches 0.700 is above 0.999, and F1 is 0.861."
    )
    left_out = [fold(1), fold(2, left_out="it is too small", confusion=[])]
    made = report(folds=left_out, pooled=Pooled(tp=70, fp=30, fn=5, tn=95))
    assert verdict("thresholds_on_folds", made).reason == (
        "Not sure enough: the probability of precision is below the required 0.500. Over 200 rows of the test and of"
        " fold 1, the probability that precision reaches 0.750 is 0.125, the probability that recall reaches 0.700 is"
        " above 0.999, and F1 is 0.800. Fold 2 is left out: it is too small."
    )


def compared(difference: float, error: float = 0.01, **changes: Any) -> EvaluationReport:
    fields = {"difference": difference, "standard_error": error, "fair_rows": 400, "compared_on": "new"}
    return report(champion=champion(0.87), **(fields | changes))


@pytest.mark.parametrize(
    ("difference", "passes"), [(0.1, True), (0.0, True), (-0.01, True), (-0.0100001, False), (-0.2, False)]
)
def test_in_a_closed_week_the_difference_alone_counts(difference: float, passes: bool):  # noqa: FBT001
    for error in (0.0, 0.001, 1.0):
        assert verdict("not_worse_on_folds", compared(difference, error)).passed is passes


@pytest.mark.parametrize("thousandths", range(740, 1001, 20))
def test_exactly_the_allowed_regression_passes_whatever_the_rounding(thousandths: int):
    difference = (thousandths - 10) / 1000 - thousandths / 1000
    assert verdict("not_worse_on_folds", compared(difference)).passed
    made = report(reference=Reference(weeks=8, version="1", rows=400, difference=2 * difference))
    assert verdict("not_worse_than_reference", made).passed


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
@pytest.mark.parametrize(("away", "passes"), [(1e-6, True), (-1e-6, False)])
def test_in_mid_week_the_lower_limit_counts(confidence: float, away: float, passes: bool):  # noqa: FBT001
    error = 0.012
    limit = float(-0.01 + norm.ppf(confidence) * error + away)
    early = compared(limit, error, window_end=WEEK_END - timedelta(hours=1))
    assert verdict("not_worse_on_folds", early, gate_midweek_confidence=confidence).passed is passes
    assert verdict("not_worse_on_folds", compared(limit, error), gate_midweek_confidence=confidence).passed is (
        limit >= -0.01
    )


def test_the_same_difference_passes_on_sunday_and_is_held_before():
    assert verdict("not_worse_on_folds", compared(-0.004)).reason == (
        "F1 is 0.004 below the champion's (version 1) on 400 rows that it has not learned, standard error 0.010: not"
        " below it by more than the allowed 0.010."
    )
    assert verdict("not_worse_on_folds", compared(-0.004, window_end=WEEK_END - timedelta(days=2))).reason == (
        "F1 is 0.004 below the champion's (version 1) on 400 rows that it has not learned, standard error 0.010: below"
        " it by more than the allowed 0.010 with a probability of 0.80, as the week has not closed."
    )


def test_what_is_not_known_of_the_champion_is_said():
    made = compared(0.0, compared_on="test", fair_rows=200)
    window = made.model_copy(update={"new_rows": new_rows(learned_by="window")})
    reason = verdict("not_worse_on_folds", window).reason
    assert "on 200 test rows, standard error" in reason
    assert reason.endswith("has no tag nhm.learned_until, so all rows of its window count as learned.")
    nothing = made.model_copy(update={"new_rows": new_rows(learned_by="nothing", learned_until=None)})
    assert verdict("not_worse_on_folds", nothing).reason.endswith("so all test rows count as new to it.")


def test_without_a_champion_there_is_nothing_to_compare():
    assert verdict("not_worse_on_folds", report()).reason == "There is no champion to compare with."


def test_a_foreign_champion_is_treated_as_the_setting_says():
    made = report(foreign_champion=ForeignChampion(version="7", reason="it answers labels"))
    assert verdict("not_worse_on_folds", made, foreign_champion="replace").passed
    assert not verdict("not_worse_on_folds", made, foreign_champion="refuse").passed


@pytest.mark.parametrize("newer", [True, False])
def test_too_few_new_rows_pass_only_where_the_candidate_is_superseded_anyway(newer: bool):  # noqa: FBT001
    few = FairRows(rows=30, approvals=10, left_out=170, f1=0.1, champion_f1=0.9)
    rows = new_rows(test=few, newer_window=newer)
    made = report(champion=champion(0.9), new_rows=rows, fair_rows=None, difference=None, standard_error=None)
    found = judged(made)
    assert found["not_worse_on_folds"].passed is newer
    assert found["not_worse_than_production"].passed is newer
    assert ("superseded" in found["not_worse_on_folds"].reason) is newer
    if newer:
        assert found["not_worse_than_production"].reason == (
            "Not compared: only 30 of 200 test rows are new to the champion (version 1), which learned from a newer"
            " window. The candidate is superseded anyway."
        )
    else:
        assert "on all test rows, because only 30 of 200 test rows are new" in (
            found["not_worse_than_production"].reason
        )


def test_a_champion_that_is_better_only_on_rows_that_it_has_learned_does_not_hold_the_candidate():
    fair = FairRows(rows=150, approvals=60, left_out=50, f1=0.87, champion_f1=0.87)
    made = report(champion=champion(0.9), new_rows=new_rows(test=fair))
    assert verdict("not_worse_than_production", made).reason == (
        "F1 0.870 is not below the 0.870 of the champion (version 1) on the 150 test rows that are new to it (50 are"
        " left out: it has learned them or their plans)."
    )
    # The negative twins: as good on all rows, and better on the new ones.
    assert not verdict("not_worse_than_production", report(champion=champion(0.9))).passed
    better = new_rows(test=fair.model_copy(update={"champion_f1": 0.9}))
    assert not verdict("not_worse_than_production", report(champion=champion(0.87), new_rows=better)).passed


@pytest.mark.parametrize(("difference", "passes"), [(0.1, True), (-0.02, True), (-0.0201, False)])
def test_the_reference_may_be_better_by_its_own_margin(difference: float, passes: bool):  # noqa: FBT001
    made = report(reference=Reference(weeks=8, version="3", rows=500, difference=difference))
    assert verdict("not_worse_than_reference", made).passed is passes
    early = made.model_copy(update={"window_end": WEEK_END - timedelta(days=1)})
    assert verdict("not_worse_than_reference", early).passed is passes


def test_the_reason_names_the_reference():
    made = report(reference=Reference(weeks=8, version="3", rows=500, difference=-0.05))
    assert verdict("not_worse_than_reference", made).reason == (
        "F1 is 0.050 below that of version 3, the reference of 8 weeks before, on 500 rows: below it by more"
        " than the allowed 0.020."
    )
    made = report(reference=Reference(weeks=8, version="3", reason="version 3 was rolled back"))
    assert verdict("not_worse_than_reference", made).reason == "Nothing to compare: version 3 was rolled back."


def test_without_folds_the_gate_is_the_first_one():
    """GATE_FOLDS=0: whatever the further rows say, they are not asked."""
    bad = {"pooled": Pooled(tp=1, fp=99, fn=99, tn=1), "difference": -0.5, "standard_error": 0.0}
    worse = Reference(weeks=8, version="1", rows=9, difference=-0.5)
    made = report(champion=champion(0.87), reference=worse, **bad)
    assert [name for name in FOLD_CHECKS if not judged(made)[name].passed] == FOLD_CHECKS
    for without in (made, report(**WITHOUT_FOLDS)):
        found = judged(without, gate_folds=0)
        assert [found[name].reason for name in FOLD_CHECKS] == ["Not asked: GATE_FOLDS=0."] * 3
        assert failed_gate(list(found.values())) == []


def test_where_a_first_check_failed_the_folds_decide_nothing_and_say_so():
    found = judged(report(candidate=metrics(precision=0.7, recall=0.6), **WITHOUT_FOLDS))
    for name in FOLD_CHECKS:
        assert not found[name].passed
        assert found[name].warns_only
        assert found[name].reason == (
            "Not decided: precision_threshold, recall_threshold failed, so no folds were fitted."
        )
    assert failed_gate(list(found.values())) == ["precision_threshold", "recall_threshold"]


def test_a_report_without_folds_never_passes_by_itself():
    found = judged(report(**WITHOUT_FOLDS))
    assert failed_gate(list(found.values())) == FOLD_CHECKS
    assert found["thresholds_on_folds"].reason.endswith("Materialize evaluation_report again.")


def test_a_report_of_an_earlier_release_is_not_asked_for_folds_but_is_evaluated_again():
    earlier = report(schema_version=4, **WITHOUT_FOLDS)
    found = judged(earlier)
    assert failed_gate(list(found.values())) == []
    assert found["thresholds_on_folds"].reason == (
        "Not asked: an earlier release made this report, which knew no folds."
    )
    assert not is_complete(earlier, RULES)


def test_folds_are_worth_their_cost_only_if_the_first_checks_pass_and_the_settings_want_them():
    good, bad = report(**WITHOUT_FOLDS), report(candidate=metrics(recall=0.5), **WITHOUT_FOLDS)
    assert needs_folds(good, RULES)
    assert not needs_folds(bad, RULES)
    assert not needs_folds(good, replace(RULES, gate_folds=0))


@pytest.mark.parametrize(
    ("made", "rules", "complete"),
    [
        (report(), {}, True),
        (report(), {"gate_folds": 1}, False),
        (report(), {"reference_weeks": 4}, False),
        (report(), {"gate_folds": 0}, True),
        (report(**WITHOUT_FOLDS), {}, False),
        (report(**WITHOUT_FOLDS), {"gate_folds": 0}, True),
        (report(**WITHOUT_FOLDS), {"recall_threshold": 0.99}, True),
        (report(reference=None), {}, False),
        (report(reference=None), {"reference_weeks": 0}, True),
        (compared(0.0, fair_rows=100, test_rows=300), {}, True),
        (compared(0.0, fair_rows=99, test_rows=300), {}, False),
        (compared(0.0, fair_rows=200, compared_on="test"), {}, False),
        (
            compared(0.0, fair_rows=200, compared_on="test", new_rows=new_rows(pooled=Pooled(tp=9, fp=9, fn=9, tn=72))),
            {},
            True,
        ),
        (compared(0.0, fair_rows=200, compared_on="test", folds=[fold(1), fold(2, left_out="too small")]), {}, True),
    ],
)
def test_a_recorded_report_is_complete_if_it_answers_what_the_settings_ask_now(made, rules, complete):
    assert is_complete(made, replace(RULES, **rules)) is complete


@pytest.mark.parametrize(
    ("counts", "passes"),
    [
        (Pooled(tp=160, fp=40, fn=40, tn=160), True),
        (Pooled(tp=70, fp=30, fn=30, tn=70), True),
        (Pooled(tp=120, fp=80, fn=30, tn=170), False),
        (Pooled(tp=120, fp=30, fn=80, tn=170), False),
        (Pooled(tp=1, fp=99, fn=18, tn=82), False),
        (Pooled(tp=1, fp=1, fn=2, tn=1), True),
        (Pooled(tp=0, fp=0, fn=0, tn=0), True),
        (None, True),
    ],
    ids=[
        "good",
        "on the line",
        "precision has sunk",
        "recall has sunk",
        "few approvals and many wrong calls",
        "few rows",
        "no rows",
        "not asked",
    ],
)
def test_what_serves_has_sunk_if_a_threshold_is_improbable(counts: Pooled | None, passes: bool):  # noqa: FBT001
    asked = new_rows(pooled=counts) if counts else None
    found = verdict("serving_on_line", report(champion=champion(0.8), new_rows=asked))
    assert found.passed is passes
    assert found.warns_only


def test_without_new_rows_nothing_is_said_of_what_serves():
    made = report(champion=champion(0.8), new_rows=new_rows(pooled=Pooled(tp=0, fp=0, fn=0, tn=0)))
    assert verdict("serving_on_line", made).reason == (
        "What serves (version 1) was asked about no row that is new to it."
    )


def test_the_reason_says_what_has_sunk():
    sunk = new_rows(pooled=Pooled(tp=120, fp=80, fn=30, tn=170))
    found = verdict("serving_on_line", report(champion=champion(0.8, version="4"), new_rows=sunk))
    assert found.figures["version"] == "4"
    assert found.reason == (
        "What serves (version 4) has sunk below the line (precision): on 400 rows that it has not learned, the"
        " probability that precision reaches 0.750 is below 0.001 and the probability that recall reaches 0.700 is"
        " 0.997."
    )
