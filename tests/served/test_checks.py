"""The checks on what is served: each can fail, none breaks a run."""

from typing import Any

import pytest

from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.served_records import Answered, Calls, ServedQuality
from nhm_assets.served.agreement import decline
from nhm_assets.served.checks import agrees_with_people, judge_week, model_answers
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
    faults = {"answers": "MongoDB is slow", "agreement": "MongoDB is away"}
    verdicts = judge_week(week(faults=faults), Settings())
    assert [verdict.reason for verdict in verdicts[:2]] == [
        "Not measured: MongoDB is away.",
        "Not measured: MongoDB is slow.",
    ]
    assert not any(verdict.passed for verdict in verdicts[:2])
    assert all(verdict.warns_only for verdict in verdicts)
