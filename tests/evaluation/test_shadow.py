"""The shadow's figures, documents, check, tables and picture."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.shadow_records import Shadow
from nhm_assets.evaluation.gate import failed_gate, judge
from nhm_assets.evaluation.served_plans import Opinion, ServedPlans
from nhm_assets.evaluation.shadow import Answers, Comparison, documents, summarize
from nhm_assets.evaluation.shadow_check import agrees_in_shadow
from nhm_assets.evaluation.shadow_picture import draw
from nhm_assets.evaluation.shadow_tables import shadow_metadata, shadow_table
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links
from nhm_assets.steps.pictures import LARGEST, markdown
from tests.support.reports import RULES, report

SINCE = datetime(2026, 3, 8, 3, tzinfo=UTC)


def answers(confidence: list[float], risk: list[float] | None = None, top: list[str] | None = None) -> Answers:
    risks = [0.1] * len(confidence) if risk is None else risk
    return Answers(
        np.array(confidence), np.array(risks), np.array(["approve"] * len(confidence) if top is None else top)
    )


def comparison(champion: Answers, candidate: Answers, opinions: dict[str, Opinion] | None = None) -> Comparison:
    count = len(champion.confidence)
    features = pd.DataFrame(np.full((count, len(FEATURE_NAMES)), 0.5), columns=list(FEATURE_NAMES))
    plans = ServedPlans([f"plan-{number}" for number in range(count)], features, unusable=2)
    return Comparison(plans, champion, candidate, opinions)


def summary(compared: Comparison) -> Shadow:
    return summarize(compared, champion="4", since=SINCE)


def opinion(version: str | None = "4", confidence: float | None = 0.9, risk: float | None = 0.2) -> Opinion:
    return Opinion("opinion-1", version, "review_required", confidence, risk)


def test_equal_answers_agree_completely():
    same = answers([0.9, 0.2])
    made = summary(comparison(same, same))
    assert (made.agreement, made.same_side, made.same_class) == (1.0, 1.0, 1.0)
    assert (made.plans, made.unusable, made.champion, made.since) == (2, 2, "4", SINCE)
    assert (made.confidence.mean, made.confidence.low, made.confidence.high) == (0.0, 0.0, 0.0)


def test_agreement_needs_the_same_class_and_the_same_side():
    champion = answers([0.9, 0.9, 0.9, 0.9])
    candidate = answers([0.81, 0.79, 0.9, 0.7], top=["approve", "approve", "reject", "reject"])
    made = summary(comparison(champion, candidate))
    assert (made.same_side, made.same_class, made.agreement) == (0.5, 0.5, 0.25)


@pytest.mark.parametrize(("confidence", "agrees"), [(0.8, True), (0.7999, False)])
def test_confidence_at_the_limit_itself_is_enough(confidence, agrees):
    made = summary(comparison(answers([0.9]), answers([confidence])))
    assert made.agreement == float(agrees)


def test_the_shift_is_candidate_minus_champion_with_its_percentiles():
    draws = np.random.default_rng(1)
    before, after = draws.random(200), draws.random(200)
    made = summary(comparison(answers(before.tolist(), after.tolist()), answers(after.tolist(), before.tolist())))
    differences = after - before
    assert made.confidence.mean == pytest.approx(differences.mean())
    assert made.confidence.low == pytest.approx(np.percentile(differences, 5))
    assert made.confidence.high == pytest.approx(np.percentile(differences, 95))
    assert made.risk.mean == pytest.approx(-differences.mean())


def test_the_ten_plans_with_the_largest_change_of_confidence_or_risk_are_named():
    confidence, risk = [0.5 + number / 100 for number in range(20)], [0.1] * 20
    risk[3] = 0.9
    made = summary(comparison(answers([0.5] * 20), answers(confidence, risk)))
    assert len(made.largest) == 10
    assert [plan.plan_id for plan in made.largest[:3]] == ["plan-3", "plan-19", "plan-18"]
    assert (made.largest[0].champion_risk, made.largest[0].candidate_risk) == (0.1, 0.9)


def test_without_plans_there_are_no_figures():
    made = summary(comparison(answers([]), answers([])))
    assert (made.plans, made.unusable, made.agreement, made.confidence, made.largest) == (0, 2, None, None, ())


def test_answers_are_paired_with_what_the_specialist_said():
    said = {"plan-0": opinion(), "plan-1": opinion(version="3"), "plan-2": opinion(version=None)}
    made = summary(comparison(answers([0.8, 0.2, 0.2]), answers([0.7, 0.2, 0.2]), said))
    assert (made.said.by_champion, made.said.by_others) == (1, 2)
    assert made.said.difference == pytest.approx(0.1)
    assert made.said.agreement == 0.0
    by_plan = {plan.plan_id: plan for plan in made.largest}
    assert (by_plan["plan-0"].said_confidence, by_plan["plan-1"].said_confidence) == (0.9, None)
    assert by_plan["plan-1"].opinion_id == "opinion-1"


def test_opinions_that_were_not_read_are_told_from_none():
    assert summary(comparison(answers([0.5]), answers([0.5]))).said is None
    assert summary(comparison(answers([0.5]), answers([0.5]), {})).said.by_champion == 0


def test_a_shadow_is_equal_after_it_was_stored():
    made = report(shadow=summary(comparison(answers([0.9]), answers([0.7]), {"plan-0": opinion()})))
    kept = type(made).model_validate_json(made.model_dump_json())
    assert kept == made
    assert kept.digest() == made.digest() != report().digest()


def written(compared: Comparison) -> list[dict[str, Any]]:
    return documents(
        compared,
        model="technical-evaluator",
        champion="4",
        candidate="5",
        context={"specialist_type": "technical", "week": "2026-03-08"},
        now=SINCE,
    )


def test_a_document_has_the_shape_that_other_programs_read():
    (made,) = written(comparison(answers([0.9]), answers([0.7], top=["reject"]), {"plan-0": opinion(confidence=0.85)}))
    assert made.pop("features") == dict.fromkeys(FEATURE_NAMES, 0.5)
    assert made == {
        "_id": "technical-evaluator:4:5:plan-0",
        "comparison_id": "technical-evaluator:4:5:plan-0",
        "model_name": "technical-evaluator",
        "prod_version": "4",
        "shadow_version": "5",
        "timestamp": SINCE,
        "prod_result": {"class": "approve", "confidence": 0.85, "risk": 0.2},
        "shadow_result": {"class": "reject", "confidence": 0.7, "risk": 0.1},
        "agreement": {"class": False, "confidence": False, "overall": False},
        "context": {
            "specialist_type": "technical",
            "week": "2026-03-08",
            "plan_id": "plan-0",
            "opinion_id": "opinion-1",
            "prod_result_from": "opinion",
        },
    }
    json.dumps(made | {"timestamp": None})


@pytest.mark.parametrize("said", [{}, {"plan-0": opinion(version="3")}, {"plan-0": opinion(risk=None)}, None])
def test_without_an_opinion_of_the_champion_its_answer_now_stands_for_it(said):
    (made,) = written(comparison(answers([0.9]), answers([0.7]), said))
    assert made["prod_result"] == {"class": "approve", "confidence": 0.9, "risk": 0.1}
    assert made["context"]["prod_result_from"] == "replay"


def agreeing(agreement: float) -> Shadow:
    return Shadow(champion="4", since=SINCE, plans=50, agreement=agreement, same_side=agreement, same_class=1.0)


@pytest.mark.parametrize(("agreement", "passed"), [(0.9, True), (0.899, False)])
def test_the_check_warns_below_the_required_agreement(agreement, passed):
    verdict = agrees_in_shadow(agreeing(agreement), 0.9)
    assert (verdict.passed, verdict.warns_only) == (passed, True)
    assert verdict.reason.startswith(f"Agreement {agreement:.3f} with the champion (version 4) on 50 plans")
    assert "since its promotion (2026-03-08)" in verdict.reason


def test_the_check_decides_nothing():
    verdicts = judge(report(shadow=agreeing(0.1)), RULES)
    assert [verdict.check for verdict in verdicts if not verdict.passed] == ["agrees_in_shadow"]
    assert failed_gate(verdicts) == []


@pytest.mark.parametrize(
    ("shadow", "passed", "reason"),
    [
        (None, True, "No plans were compared: no other version was in Production, or SHADOW_PLANS was 0."),
        (Shadow(champion="4", since=SINCE, fault="it is slow"), False, "could not be compared on stored plans: it is"),
        (Shadow(champion="4", since=SINCE, unusable=3), True, "No plan with usable features has come in since the"),
    ],
    ids=["no champion", "fault", "no plans"],
)
def test_the_check_says_why_nothing_was_compared(shadow, passed, reason):
    verdict = agrees_in_shadow(shadow, 0.9)
    assert (verdict.passed, verdict.warns_only) == (passed, True)
    assert reason in verdict.reason


def test_the_table_shows_agreement_shift_and_opinions():
    shown = shadow_table(summary(comparison(answers([0.9, 0.2]), answers([0.7, 0.2]), {"plan-0": opinion()})))
    assert "| champion | version 4 since 2026-03-08 03:00 UTC |" in shown
    assert "| agreement | 0.500 |" in shown
    assert "| change of confidence | mean -0.100, 5 % -0.190, 95 % -0.010 |" in shown
    assert "| opinions by the champion | 1 |" in shown


def test_the_plans_with_the_largest_change_are_links_where_plans_have_an_address():
    """Their ids are foreign: nothing of them becomes markup."""
    made = summary(comparison(answers([0.9, 0.2]), answers([0.7, 0.2])))
    odd = made.largest[1].model_copy(update={"plan_id": "a|b](x) <c>"})
    made = made.model_copy(update={"largest": (made.largest[0], odd)})
    linked = Links.of(Settings(plan_url="https://hive.example/plans/{plan_id}?tab=1"))
    head, _, first, second = shadow_metadata(made, None, linked)["shadow_largest_changes"].value.splitlines()
    assert head == "| plan | opinion | champion | candidate | confidence | risk | said |"
    assert first.startswith(
        "| [plan-0](https://hive.example/plans/plan-0?tab=1) |  | approve | approve | 0.900 to 0.700"
    )
    assert second.startswith(r"| [a\|b\](x) \<c\>](https://hive.example/plans/a%7Cb%5D%28x%29%20%3Cc%3E?tab=1) |")
    plain = shadow_metadata(made, None, Links.of(Settings()))["shadow_largest_changes"]
    assert [record.data["plan"] for record in plain.records] == ["plan-0", "a|b](x) <c>"]


def test_the_picture_of_two_thousand_plans_is_small():
    draws = np.random.default_rng(1)
    many = [answers(draws.random(2000).tolist(), draws.random(2000).tolist()) for _ in range(2)]
    picture = draw(comparison(*many))
    shown = markdown("champion and candidate", picture)
    assert shown.startswith("![champion and candidate](data:image/png;base64,iVBOR")
    assert len(shown) < LARGEST
