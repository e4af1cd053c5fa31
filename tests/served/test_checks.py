"""The checks on what is served: each can fail, none breaks a run."""

from typing import Any

import pytest

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.drift_records import Checked, Drift, Estimate, Shift
from nhm_assets.domain.served_records import Answered, Calls, ServedQuality
from nhm_assets.served.agreement import decline
from nhm_assets.served.checks import (
    DESCRIPTIONS,
    agrees_with_people,
    drift_verdicts,
    estimate_holds,
    judge_week,
    model_answers,
)
from nhm_assets.settings import Settings
from tests.support.documents import WEEK, WEEK_END, WINDOW_START

GOOD = Calls(tp=160, fp=30, fn=30, tn=180)


def week(**fields: Any) -> ServedQuality:
    known = {"specialist": "technical", "week": WEEK, "model": "technical-evaluator", "start": WINDOW_START}
    return ServedQuality(**(known | {"end": WEEK_END, "version": "3"} | fields))


def answered(**fields: Any) -> Answered:
    nothing = {"opinions": 100, "by_version": {"3": 100}, "by_fallback": {}, "in_gap": 0, "untold": 0, "unexpected": 0}
    return Answered(**(nothing | fields))


def agrees(recent: Calls, evaluated: Calls = GOOD, earlier: tuple[Calls, ...] = ()) -> Verdict:
    return agrees_with_people(week(decline=decline(recent, evaluated, earlier)))


def test_a_version_that_agrees_as_before_passes():
    verdict = agrees(GOOD)
    assert verdict.passed
    assert verdict.reason.startswith("Version 3 agrees with people as before: F1 0.842")


def test_a_version_that_agrees_less_is_found():
    verdict = agrees(Calls(tp=120, fp=60, fn=70, tn=150))
    assert (verdict.passed, verdict.warns_only) == (False, True)
    assert verdict.reason.startswith("Version 3 agrees with people less than before: F1 0.649")


def test_more_rows_find_a_smaller_drop():
    recent = Calls(tp=150, fp=40, fn=40, tn=170)
    assert agrees(recent).passed
    many = Calls(**{name: 8 * value for name, value in recent.model_dump().items()})
    assert not agrees(many, earlier=(GOOD,) * 12).passed


def test_few_reviews_of_either_kind_are_not_judged():
    assert "are needed" in agrees(Calls(tp=2, fp=60, fn=17, tn=20)).reason
    assert not agrees(Calls(tp=2, fp=60, fn=18, tn=20)).passed


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": None}, "nothing tells which version was in Production"),
        ({}, "no opinion of version 3 got feedback"),
    ],
)
def test_without_feedback_nothing_is_judged(fields: dict[str, Any], reason: str):
    verdict = agrees_with_people(week(**fields))
    assert verdict.passed
    assert reason in verdict.reason
    assert "version None" not in estimate_holds(week(**fields)).reason


def test_a_model_that_answers_passes():
    verdict = model_answers(week(answered=answered(by_version={"3": 95}, by_fallback={"heuristics": 5})), share=0.1)
    assert verdict.passed
    assert verdict.reason == "A model gave 95 of 100 opinions, fallbacks 5 (5.0%)."


def test_fallbacks_above_the_share_are_found_but_not_by_a_few_opinions():
    many = answered(by_version={"3": 80}, by_fallback={"heuristics": 15, "semantic_pipeline": 5})
    verdict = model_answers(week(answered=many), share=0.1)
    assert (verdict.passed, verdict.warns_only) == (False, True)
    assert "20 of 100 opinions (20.0%, at most 10%)" in verdict.reason
    few = answered(opinions=5, by_version={"3": 4}, by_fallback={"heuristics": 1})
    assert model_answers(week(answered=few), share=0.1).passed


def test_a_pod_that_was_not_restarted_is_found():
    stale = answered(by_version={"2": 20, "3": 80}, unexpected=20)
    verdict = model_answers(week(answered=stale), share=0.1)
    assert not verdict.passed
    assert "version 2: 20, version 3: 80" in verdict.reason
    assert model_answers(week(answered=answered(unexpected=2)), share=0.1).passed


def test_opinions_that_do_not_say_who_gave_them_are_no_fallbacks():
    verdict = model_answers(week(answered=answered(by_version={}, untold=100)), share=0.1)
    assert verdict.passed
    assert verdict.reason == "Not measured: none of 100 opinions says who gave it."


def test_what_could_not_be_read_warns_with_the_reason():
    faults = {"answers": "MongoDB is slow", "agreement": "MongoDB is away", "drift": "MLflow is away"}
    verdicts = {verdict.check: verdict for verdict in judge_week(week(faults=faults), Settings())}
    assert set(verdicts) == set(DESCRIPTIONS)
    assert not any(verdict.passed for verdict in verdicts.values())
    assert all(verdict.warns_only for verdict in verdicts.values())
    assert verdicts["model_answers"].reason == "Not measured: MongoDB is slow."
    assert verdicts["estimate_holds"].reason == "Not measured: MongoDB is away."
    assert verdicts["labels_stable"].reason == "Not measured: MLflow is away."


def test_where_there_is_nothing_to_measure_nothing_warns():
    absent = {"drift": "version 3 learned synthetic rows alone"}
    verdicts = judge_week(week(absent=absent, answered=answered(opinions=0, by_version={})), Settings())
    assert all(verdict.passed for verdict in verdicts)
    assert "version 3 learned synthetic rows alone" in verdicts[0].reason


def test_no_verdict_names_a_version_that_nobody_knows():
    verdicts = judge_week(week(version=None, answered=answered(opinions=0, by_version={})), Settings())
    assert [verdict.reason for verdict in verdicts if "None" in verdict.reason] == []


def drift(**fields: Any) -> Drift:
    nothing = {"of_features": [], "of_answers": [], "of_labels": [], "important": ["density"]}
    return Drift(**({"learned": 1000, "plans": 200, "answers": 190, "labels": 150} | nothing | fields))


@pytest.mark.parametrize(
    ("part", "check"),
    [("of_features", "features_stable"), ("of_answers", "answers_stable"), ("of_labels", "labels_stable")],
)
def test_each_part_that_moves_is_found_by_its_own_check(part: str, check: str):
    still, moved = Shift(name="density", psi=0.2, bar=0.21), Shift(name="density", psi=0.3, bar=0.21)
    others = {name: [still] for name in ("of_features", "of_answers", "of_labels")}
    verdicts = {one.check: one for one in drift_verdicts(week(drift=drift(**(others | {part: [moved]}))))}
    assert [name for name, verdict in verdicts.items() if not verdict.passed] == [check]
    assert "differ from what version 3 learned: density has moved much (PSI 0.300)" in verdicts[check].reason


@pytest.mark.parametrize(
    ("part", "checks"), [("answers", ["features_stable", "answers_stable"]), ("agreement", ["labels_stable"])]
)
def test_what_was_not_read_is_not_called_too_few(part: str, checks: list[str]):
    verdicts = drift_verdicts(week(drift=drift(plans=0, answers=0, labels=0), faults={part: "MongoDB is slow"}))
    assert [verdict.check for verdict in verdicts if not verdict.passed] == checks
    assert {verdict.reason for verdict in verdicts if not verdict.passed} == {"Not measured: MongoDB is slow."}


def test_too_few_plans_are_not_judged():
    verdicts = drift_verdicts(week(drift=drift(plans=7)))
    assert all(verdict.passed for verdict in verdicts)
    assert verdicts[0].reason.startswith("Not measured: 7 plans are too few")


@pytest.mark.parametrize(("realized", "holds"), [(0.80, True), (0.772, True), (0.74, False), (0.90, False)])
def test_an_estimate_that_did_not_come_true_is_found(realized: float, holds: object):
    expected = Estimate(plans=300, precision=0.8, recall=0.8, f1=0.8, error=0.02)
    weeks = [Checked(weeks_before=before, estimate=expected, realized=realized) for before in (0, 1)]
    assert estimate_holds(week(checked=weeks)).passed is holds


def test_an_estimate_of_a_few_plans_is_not_judged():
    expected = Estimate(plans=20, precision=0.8, recall=0.8, f1=0.8, error=0.02)
    verdict = estimate_holds(week(checked=[Checked(weeks_before=0, estimate=expected, realized=0.1)]))
    assert verdict.passed
    assert "20 opinions" in verdict.reason
