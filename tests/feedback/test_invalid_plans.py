"""Plans whose features cannot be computed."""

import math

import pytest
from bson.decimal128 import Decimal128

from nhm_assets.feedback.features import InvalidPlan, compute_features


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param({"tasks": None}, id="tasks null"),
        pytest.param({"tasks": {}}, id="tasks a map"),
        pytest.param({"tasks": ["a"]}, id="a task that is not a map"),
        pytest.param({"original_domain": None}, id="domain null"),
        pytest.param({"original_domain": ["TECHNICAL"]}, id="domain a list"),
        pytest.param({"original_priority": ["low"]}, id="priority a list"),
        pytest.param({"risk_score": math.nan}, id="score NaN"),
        pytest.param({"complexity_score": -math.inf}, id="score infinite"),
        pytest.param({"risk_score": 1e39}, id="score beyond what a forest can read"),
        pytest.param({"complexity_score": 10**400}, id="score beyond a float"),
        pytest.param({"tasks": [{"task_type": "analysis"}]}, id="no task id"),
        *(
            pytest.param({"tasks": [{"task_id": "a", field: value}]}, id=f"{field} {name}")
            for field, value, name in (
                ("task_id", None, "null"),
                ("task_id", ["a"], "unhashable"),
                ("task_type", {}, "a map"),
                ("description", None, "null"),
                ("description", 3, "a number"),
                ("estimated_duration_ms", "1000", "a string"),
                ("estimated_duration_ms", Decimal128("1000"), "a Decimal128"),
                ("estimated_duration_ms", math.nan, "NaN"),
                ("estimated_duration_ms", math.inf, "infinite"),
                ("estimated_duration_ms", 10**400, "beyond a float"),
                ("dependencies", None, "null"),
                ("dependencies", 3, "a number"),
                ("dependencies", [None], "with a null"),
                ("dependencies", [["b"]], "with an unhashable id"),
            )
        ),
    ],
)
def test_a_plan_with_an_error_is_invalid(plan: dict):
    with pytest.raises(InvalidPlan) as raised:
        compute_features({"original_domain": "TECHNICAL", **plan})
    assert isinstance(raised.value, ValueError)


def test_a_missing_domain_is_an_error_even_without_tasks():
    with pytest.raises(InvalidPlan, match="original_domain is null or missing"):
        compute_features({"tasks": []})
