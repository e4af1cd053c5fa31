"""What an opinion says itself, and whether labels can be told from that."""

import math
import random
from typing import Any

import pytest
from pymongo.database import Database

from nhm_assets.feedback.opinion_scores import MIN_ROWS, labels_told, scores_of
from tests.support.documents import Document, feedback, opinion, put
from tests.support.windows import assembled

INSIDE = {"confidence_score": 0.9, "risk_score": 0.1, "recommendation": "reject"}


def same(found: tuple[float, ...], expected: tuple[float, ...]) -> bool:
    return found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"confidence_score": 0.5, "risk_score": 1, "recommendation": "approve"}, (0.5, 1.0, 0.0)),
        ({"schema_version": "2.0.0", "opinion": INSIDE}, (0.9, 0.1, 1.0)),
        ({"recommendation": "conditional"}, (math.nan, math.nan, 3.0)),
        ({"confidence_score": "0.5", "risk_score": True, "recommendation": ["approve"]}, (math.nan,) * 3),
        ({"confidence_score": 1e300, "risk_score": -math.inf, "opinion": "reject"}, (math.nan,) * 3),
        ({}, (math.nan,) * 3),
    ],
)
def test_scores_are_at_the_top_or_inside_the_opinion(document: Document, expected: tuple[float, ...]):
    assert same(scores_of(document), expected)


def drawn(count: int) -> list[tuple[float, ...]]:
    rng = random.Random(3)
    return [(rng.random(), rng.random(), float(rng.randrange(3))) for _ in range(count)]


def by_a_script(scores: tuple[float, ...]) -> int:
    confidence, risk, _ = scores
    return 1 if confidence > 0.7 and risk < 0.4 else 0 if risk > 0.6 else 2


def by_a_person(scores: tuple[float, ...], rng: random.Random) -> int:
    return by_a_script(scores) if rng.random() < 0.6 else rng.randrange(3)


def test_labels_that_a_script_derived_from_the_scores_are_told():
    scores = drawn(400)
    assert labels_told(scores, [by_a_script(one) for one in scores]) > 0.97


def test_labels_of_people_who_often_agree_with_the_opinion_are_not():
    scores, rng = drawn(400), random.Random(4)
    assert 0.5 < labels_told(scores, [by_a_person(one, rng) for one in scores]) < 0.85


def test_missing_scores_tell_nothing():
    labels = [number % 2 for number in range(200)]
    assert labels_told([(math.nan,) * 3] * 200, labels) < 0.6


@pytest.mark.parametrize(
    "labels", [[], [1] * 400, [0, 1] * (MIN_ROWS // 2 - 1), [1] * 396 + [0] * 4], ids=["no", "equal", "few", "rare"]
)
def test_too_few_labels_are_not_judged(labels: list[int]):
    assert labels_told(drawn(len(labels)), labels) is None


def test_the_scores_of_stored_opinions_are_used(database: Database):
    """At the top in one half of the opinions, inside in the other."""
    names = ("reject", "approve", "review_required")
    opinions: list[Document] = []
    reviews: list[dict[str, Any]] = []
    for number, scores in enumerate(drawn(200)):
        fields = {"confidence_score": scores[0], "risk_score": scores[1], "recommendation": names[int(scores[2])]}
        opinions.append({**opinion(number), **(fields if number % 2 else {"opinion": fields})})
        reviews.append(feedback(number, human_recommendation=names[by_a_script(scores)]))
    put(database, opinions=opinions, feedback=reviews)
    assert assembled(database).attrs["told_by_scores"] > 0.95
