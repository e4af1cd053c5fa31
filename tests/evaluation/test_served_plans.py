"""What a specialist stored about its plans, read from a real MongoDB."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import PyMongoError

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.evaluation.served_plans import Opinion, feature_values, opinion_of, read_opinions, read_plans
from nhm_assets.feedback.features import EXTRACTOR
from tests.support.documents import opinion
from tests.support.served import said, served_plans, slow_view, stored_features

SINCE = datetime(2026, 3, 8, 3, tzinfo=UTC)
START = SINCE.timestamp()
NUMBERS = dict.fromkeys(FEATURE_NAMES, 0.5)


def read(database: Any, limit: int = 100) -> Any:
    return read_plans(database["plan_features"], since=SINCE, limit=limit, timeout_s=5)


def test_the_newest_plans_since_a_time_are_read_newest_first(database):
    database["plan_features"].insert_many(served_plans(5, timestamp=START))
    database["plan_features"].insert_one(stored_features("before", timestamp=START - 1))
    assert read(database).plan_ids == [f"served-{number}" for number in (4, 3, 2, 1, 0)]
    assert read(database, limit=2).plan_ids == ["served-4", "served-3"]


def test_features_are_in_the_order_of_the_signature(database):
    document = stored_features("one", timestamp=START, num_tasks=7.0, avg_diversity=9.0)
    shuffled = dict(reversed(json.loads(document["features"])["aggregated_features"].items()))
    database["plan_features"].insert_one(document | {"features": {"aggregated_features": shuffled}})
    plans = read(database)
    assert list(plans.features.columns) == list(FEATURE_NAMES)
    assert plans.features["num_tasks"].tolist() == [7.0]
    assert plans.features["avg_diversity"].tolist() == [9.0]
    assert set(plans.features.dtypes.astype(str)) == {"float64"}


def test_features_that_no_specialist_saw_are_left_out(database):
    ours = stored_features("ours", timestamp=START) | {"extractor": EXTRACTOR}
    database["plan_features"].insert_many([ours, stored_features("theirs", timestamp=START)])
    plans = read(database)
    assert (plans.plan_ids, plans.unusable) == (["theirs"], 0)


def test_documents_without_all_features_are_counted(database):
    incomplete = stored_features("incomplete", timestamp=START)
    incomplete["features"] = incomplete["features"].replace("max_in_degree", "another")
    unnamed = stored_features("unnamed", timestamp=START) | {"plan_id": 7}
    database["plan_features"].insert_many([incomplete, unnamed, stored_features("whole", timestamp=START)])
    plans = read(database)
    assert (plans.plan_ids, plans.unusable) == (["whole"], 2)


def test_no_plans_are_an_empty_frame(database):
    plans = read(database)
    assert (plans.plan_ids, plans.features.shape) == ([], (0, len(FEATURE_NAMES)))


@pytest.mark.parametrize(
    ("features", "usable"),
    [
        (NUMBERS, True),
        ({"aggregated_features": NUMBERS}, True),
        (json.dumps(NUMBERS), True),
        (NUMBERS | {"risk_score": None}, True),
        (NUMBERS | {"risk_score": math.nan}, True),
        (NUMBERS | {"risk_score": 1}, True),
        (NUMBERS | {"risk_score": math.inf}, False),
        (NUMBERS | {"risk_score": 1e39}, False),
        (NUMBERS | {"risk_score": True}, False),
        (NUMBERS | {"risk_score": "0.5"}, False),
        ({name: 0.5 for name in FEATURE_NAMES if name != "risk_score"}, False),
        ("{", False),
        ("\udcff", False),
        ("[1]", False),
        ({"aggregated_features": None}, False),
        (None, False),
    ],
)
def test_values_are_numbers_or_missing(features, usable):
    values = feature_values(features)
    assert (values is not None) == usable
    if values is not None:
        assert len(values) == len(FEATURE_NAMES)


def test_a_null_is_a_missing_value_of_the_model():
    values = feature_values(NUMBERS | {"risk_score": None})
    assert math.isnan(values[FEATURE_NAMES.index("risk_score")])


def test_the_newest_opinion_of_the_specialist_on_a_plan_counts(database):
    old, new = (datetime(2026, 3, day, tzinfo=UTC) for day in (9, 10))
    database["specialist_opinions"].insert_many(
        [
            *said(["plan-1"], confidence=0.7, version="3", evaluated_at=new),
            *said(["plan-1", "plan-2"], confidence=0.4, version="2", evaluated_at=old),
            *said(["plan-2"], confidence=0.1, version="9", specialist="business", evaluated_at=new),
            *said(["another"], confidence=0.1, version="3", evaluated_at=new),
        ]
    )
    found = read_opinions(database["specialist_opinions"], "technical", ["plan-1", "plan-2"], timeout_s=5)
    assert {plan_id: (one.model_version, one.confidence) for plan_id, one in found.items()} == {
        "plan-1": ("3", 0.7),
        "plan-2": ("2", 0.4),
    }


def test_times_of_opinions_are_compared_as_times_and_plans_as_text(database):
    """Some are dates, others texts with any offset; to the server, an array equals each of its elements."""
    noon = datetime(2026, 3, 10, 12, tzinfo=UTC)
    database["specialist_opinions"].insert_many(
        [
            *said(["plan-1"], confidence=0.7, version="3", evaluated_at=noon),
            *said(["plan-1"], confidence=0.4, version="2", evaluated_at="2026-03-10T13:00:00+02:00"),
            *said([["plan-1"]], confidence=0.1, version="9", evaluated_at=noon),
        ]
    )
    found = read_opinions(database["specialist_opinions"], "technical", ["plan-1"], timeout_s=5)
    assert {plan_id: one.model_version for plan_id, one in found.items()} == {"plan-1": "3"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (said(["p"], confidence=0.7, version="3")[0], Opinion("opinion-p", "3", "review_required", 0.7, 0.1)),
        (said(["p"], confidence=0.7, version=None)[0], Opinion("opinion-p", None, "review_required", 0.7, 0.1)),
        (opinion(1, confidence_score=0.6, risk_score=1), Opinion("opinion-1", None, "approve", 0.6, 1.0)),
        (opinion(1, confidence_score="high", risk_score=True), Opinion("opinion-1", None, "approve", None, None)),
        ({"opinion": 3, "opinion_id": 4}, Opinion(None, None, None, None, None)),
        ({"explainability": {"model_version": "3"}}, Opinion(None, "3", None, None, None)),
        ({"risk_score": 0.2, "opinion": {"risk_score": None}}, Opinion(None, None, None, None, 0.2)),
    ],
)
def test_an_opinion_says_who_gave_it_and_what_it_said(document, expected):
    assert opinion_of(document) == expected


def test_a_read_that_takes_too_long_ends(database):
    """Who asks can do without the answer."""
    database["plan_features"].insert_many(served_plans(100, timestamp=START))
    slow_view(database, "plan_features", seconds_per_document=0.05)
    with pytest.raises(PyMongoError):
        read_plans(database["slow_plan_features"], since=SINCE, limit=100, timeout_s=0.5)
