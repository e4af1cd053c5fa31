"""An A/B test by the marks of the specialists' own class, measured from documents in a real MongoDB."""

from datetime import timedelta
from typing import Any

import pytest

from nhm_assets.domain.ab_records import AbTest
from nhm_assets.served.ab_assignment import hash_value, variant_of
from nhm_assets.served.ab_measure import measure_test
from nhm_assets.served.drift import read_features
from nhm_assets.settings import Settings
from tests.support.documents import WEEK_END
from tests.support.served import stored_features
from tests.support.served_weeks import answered_week, promotion, restart, store

START = WEEK_END - timedelta(days=7)
SPLIT = 0.5
TEST = AbTest(
    id="ab_test:1",
    specialist="technical",
    model="technical-evaluator",
    champion="1",
    challenger="2",
    mode="live",
    split=SPLIT,
    seed="neural-hive-ab-test",
    started_at=START,
    until=WEEK_END,
    min_samples=100,
)


def with_marks(opinions: list[dict[str, Any]], *, wrong: int = 0) -> None:
    """Mark opinions as ABTestingSpecialist does; the first `wrong` ones with the other variant."""
    versions = {"model_a": "1", "model_b": "2"}
    for number, one in enumerate(opinions):
        one["intent_id"] = f"intent-{number}"
        variant = variant_of(one["plan_id"], one["intent_id"], TEST.seed, SPLIT)
        if number < wrong:
            variant = "model_b" if variant == "model_a" else "model_a"
        one["opinion"]["metadata"] = one["opinion"]["metadata"] | {
            "ab_test_variant": variant,
            "ab_test_model_version": versions[variant],
            "ab_test_traffic_split": SPLIT,
            "ab_test_hash_value": hash_value(one["plan_id"], one["intent_id"], TEST.seed),
        }


@pytest.fixture
def measured(database):
    def measure(test: AbTest = TEST, until=WEEK_END):
        return measure_test(None, database, Settings(), test, until)

    return measure


def test_marks_say_who_answered_and_those_that_differ_from_the_assignment_are_counted(database, measured):
    opinions, reviews = answered_week(START, 500, version="1", reviewed=0.9, days=6.9)
    with_marks(opinions, wrong=7)
    store(database, [(opinions, reviews)], [promotion("1", START - timedelta(days=7))])
    found = measured()
    assert (found.answered, found.marked, found.disagreeing) == (500, 500, 7)
    assert found.reviewed == len(reviews)
    assert found.approvals == sum(one["human_recommendation"] == "approve" for one in reviews)
    assert found.verdict.word == "no difference"
    assert found.verdict.sentence.startswith("No difference between version 2 and version 1 was found: AUC")
    assert measured() == found
    half = measured(until=START + timedelta(days=3))
    assert half.answered < 250
    assert half.verdict.word in ("no difference", "too few")


def test_a_better_arm_is_found(database, measured):
    """The champion's share of the plans is answered by a coin."""
    opinions, _ = answered_week(START, 1500, version="1", reviewed=0.0, days=6.9)
    with_marks(opinions)
    by_champion = {one["plan_id"] for one in opinions if one["opinion"]["metadata"]["ab_test_variant"] == "model_a"}
    good, reviews = answered_week(START, 1500, version="1", days=6.9)
    coin, reviews_by_coin = answered_week(START, 1500, version="1", days=6.9, worse=1.0)
    chosen = [
        (b if one["plan_id"] in by_champion else a) for one, a, b in zip(good, reviews, reviews_by_coin, strict=True)
    ]
    assert [one["plan_id"] for one in good] == [one["plan_id"] for one in coin] == [one["plan_id"] for one in opinions]
    store(database, [(opinions, chosen)])
    found = measured()
    assert found.auc.value > 0.2
    assert found.verdict.word == "better"


def test_features_of_another_plan_are_not_taken_for_those_of_a_plan(database):
    """To the server, an array equals each of its elements."""
    database["plan_features"].insert_many(
        [stored_features("plan-1", timestamp=1.0), stored_features("plan-2", timestamp=1.0) | {"plan_id": ["plan-2"]}]
    )
    known, rows = read_features(database["plan_features"], ["plan-1", "plan-2"])
    assert (known, len(rows)) == (["plan-1"], 1)


def test_without_marks_it_says_that_nobody_answered_live(database, measured):
    store(database, [answered_week(START, 50, version="1")])
    found = measured()
    assert (found.answered, found.marked, found.verdict.word) == (0, 0, "no answers")
    assert sum(found.plans.values()) == 50


def test_marks_of_other_versions_and_opinions_of_the_gap_count_for_nobody(database, measured):
    opinions, reviews = answered_week(START, 40, version="1", days=6)
    with_marks(opinions)
    opinions[30]["opinion"]["metadata"]["ab_test_model_version"] = "9"
    begun = START + timedelta(hours=1)
    store(database, [(opinions, reviews)], [promotion("1", begun), restart("1", begun, minutes=24 * 60)])
    found = measured()
    in_gap = sum(begun <= one["evaluated_at"] < begun + timedelta(days=1) for one in opinions)
    assert in_gap == 6
    assert found.marked == 40 - in_gap
    assert found.answered == found.marked - 1


def test_two_opinions_on_a_plan_are_one_and_the_reviewed_one_counts(database, measured):
    opinions, reviews = answered_week(START, 30, version="1", days=3)
    with_marks(opinions)
    again = [{**one, "opinion_id": f"again-{one['opinion_id']}"} for one in opinions]
    for one in again:
        one["evaluated_at"] += timedelta(days=1)
        one.pop("_id", None)
    store(database, [(opinions, reviews), (again, [])])
    found = measured()
    assert (found.answered, found.reviewed) == (30, 30)
