"""The features of one plan, against numbers worked out by hand from the feature specification."""

import json

import pytest
from bson.decimal128 import Decimal128

from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES, EMBEDDING_FEATURES
from nhm_assets.feedback.features import FEATURE_NAMES, InvalidPlan, compute_features
from tests.support.plans import EMPTY_PLAN, ONE_TASK, features_of

DIAMOND = {
    "original_domain": "security-analysis",
    "original_priority": "critical",
    "risk_score": 0.3,
    "complexity_score": 0.9,
    "tasks": [
        {"task_id": "a", "task_type": "analysis", "description": "Query the ledger", "estimated_duration_ms": 1000},
        {
            "task_id": "b",
            "task_type": "transformation",
            "description": "Publish the REST endpoint",
            "dependencies": ["a"],
            "estimated_duration_ms": 2500,
        },
        {
            "task_id": "c",
            "task_type": "integration",
            "description": "Split nested handlers",
            "dependencies": ["a", "a"],
            "estimated_duration_ms": 4000,
        },
        {"task_id": "d", "task_type": "deploy", "dependencies": ["b", "c"]},
    ],
}
DIAMOND_FEATURES = {
    "num_tasks": 4.0,
    "priority_score": 1.0,
    "total_duration_ms": 7500.0,
    "avg_duration_ms": 1875.0,
    "risk_score": 0.3,
    "complexity_score": 0.9,
    "domain_risk_weight": 0.35,
    "avg_task_complexity_factor": 1.5,
    "num_patterns_detected": 3.0,
    "num_anti_patterns_detected": 2.0,
    "avg_pattern_quality": 0.8,
    "total_anti_pattern_penalty": -0.7,
    "num_nodes": 4.0,
    "num_edges": 4.0,
    "density": 1 / 3,
    "avg_in_degree": 1 / 3,
    "max_in_degree": 2 / 3,
    "critical_path_length": 2.0,
    "max_parallelism": 2.0,
    "num_levels": 3.0,
    "avg_coupling": 1.0,
    "num_bottlenecks": 0.0,
    "graph_complexity_score": 0.2 + 0.4 / 3 + 0.09,
}


def test_an_ordinary_plan_yields_all_its_numbers():
    assert compute_features(DIAMOND) == pytest.approx(DIAMOND_FEATURES, abs=1e-12)


def test_features_are_floats_in_column_order():
    features = compute_features(DIAMOND)
    assert tuple(features) == COMPUTED_FEATURES
    assert {type(value) for value in features.values()} == {float}
    assert [*COMPUTED_FEATURES, *EMBEDDING_FEATURES] == list(FEATURE_NAMES)
    assert len(FEATURE_NAMES) == 26


def test_missing_tasks_count_as_no_tasks():
    assert compute_features({"original_domain": "TECHNICAL"}) == EMPTY_PLAN


@pytest.mark.parametrize(
    ("field", "value", "feature", "expected"),
    [
        ("original_priority", "low", "priority_score", 0.25),
        ("original_priority", "normal", "priority_score", 0.5),
        ("original_priority", "high", "priority_score", 0.75),
        ("original_priority", "HIGH", "priority_score", 0.5),
        ("original_priority", " critical", "priority_score", 0.5),
        ("original_priority", None, "priority_score", 0.5),
        ("original_priority", 1, "priority_score", 0.5),
        ("original_domain", "architecture-review", "domain_risk_weight", 0.30),
        ("original_domain", "performance-optimization", "domain_risk_weight", 0.20),
        ("original_domain", "code-quality", "domain_risk_weight", 0.15),
        ("original_domain", "Code-Quality", "domain_risk_weight", 0.5),
        ("original_domain", "", "domain_risk_weight", 0.5),
        ("risk_score", None, "risk_score", 0.0),
        ("risk_score", "0.7", "risk_score", 0.0),
        ("risk_score", Decimal128("0.7"), "risk_score", 0.0),
        ("risk_score", True, "risk_score", 1.0),
        ("risk_score", False, "risk_score", 0.0),
        ("risk_score", -3, "risk_score", -3.0),
        ("complexity_score", 7.25, "complexity_score", 7.25),
        ("complexity_score", [0.7], "complexity_score", 0.0),
    ],
)
def test_a_plan_field_is_looked_up_exactly(field: str, value: object, feature: str, expected: float):
    assert features_of(**{field: value})[feature] == expected


@pytest.mark.parametrize(
    ("durations", "total", "average"),
    [
        ([5, 7], 12.0, 6.0),
        ([5, None], 5.0, 2.5),
        ([-5, 2.5], -2.5, -1.25),
        ([True, 1], 2.0, 1.0),
        ([2**53, 1, 1], 2.0**53 + 2, (2.0**53 + 2) / 3),
    ],
)
def test_durations_add_up_and_a_null_counts_as_zero(durations: list, total: float, average: float):
    features = features_of(*({"task_id": str(n), "estimated_duration_ms": one} for n, one in enumerate(durations)))
    assert (features["total_duration_ms"], features["avg_duration_ms"]) == (total, average)


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["analysis", "analysis", "integration"], 1.4),
        (["validation"], 1.0),
        (["transformation", "query", None], 1.5),
        (["query", "transform", "Analysis"], 1.0),
    ],
)
def test_only_the_four_known_task_types_have_a_complexity_factor(types: list, expected: float):
    features = features_of(*({"task_id": str(number), "task_type": one} for number, one in enumerate(types)))
    assert features["avg_task_complexity_factor"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("descriptions", "patterns", "quality", "anti_patterns", "penalty"),
    [
        (["Look at it"], 0, 0.5, 0, 0.0),
        (["Call the service"], 2, 0.85, 0, 0.0),
        (["Build a MODEL", "model again"], 1, 0.9, 0, 0.0),
        (["prevent"], 1, 0.85, 0, 0.0),
        (["thread"], 1, 0.75, 0, 0.0),
        (["restrição rapidamente"], 1, 0.8, 0, 0.0),
        (["apİ"], 1, 0.8, 0, 0.0),
        (["serviço", "re\u017ft"], 0, 0.5, 0, 0.0),
        (["utilizar"], 0, 0.5, 1, -0.3),
        (["complexidade"], 0, 0.5, 1, -0.4),
        (["Deep", "manager"], 0, 0.5, 2, -0.7),
        (["ser", "vice"], 0, 0.5, 0, 0.0),
        (["api, model, queue, write"], 4, 0.825, 0, 0.0),
    ],
)
def test_phrases_are_found_as_substrings_of_a_lower_cased_description(
    descriptions: list[str], patterns: int, quality: float, anti_patterns: int, penalty: float
):
    features = features_of(*({"task_id": str(number), "description": one} for number, one in enumerate(descriptions)))
    assert features["num_patterns_detected"] == patterns
    assert features["avg_pattern_quality"] == pytest.approx(quality, abs=1e-12)
    assert features["num_anti_patterns_detected"] == anti_patterns
    assert features["total_anti_pattern_penalty"] == pytest.approx(penalty, abs=1e-12)


@pytest.mark.parametrize("value", [3.4e38, -3.4e38])
def test_the_largest_numbers_that_a_forest_reads_are_valid(value: float):
    assert features_of(risk_score=value)["risk_score"] == value


@pytest.mark.parametrize("field", ["task_type", "description", "dependencies", "estimated_duration_ms"])
def test_a_missing_field_of_a_task_is_no_error(field: str):
    full = {"task_id": "a", "task_type": "query", "description": "", "dependencies": [], "estimated_duration_ms": 0}
    del full[field]
    assert features_of(full) == {**EMPTY_PLAN, **ONE_TASK}


def test_computing_features_does_not_change_the_plan():
    before = json.dumps(DIAMOND)
    compute_features(DIAMOND)
    assert json.dumps(DIAMOND) == before


def test_the_golden_vectors_are_reproduced(golden_vectors):
    """Plans with a null duration are left out: the platform counts it as 0, the original raises an error."""
    compared = 0
    for line in golden_vectors.read_text(encoding="utf-8").splitlines():
        vector = json.loads(line)
        if _has_null_duration(vector["plan"]):
            continue
        if "error" in vector:
            with pytest.raises(InvalidPlan):
                compute_features(vector["plan"])
        else:
            assert compute_features(vector["plan"]) == pytest.approx(vector["features"], abs=1e-9, rel=1e-12)
        compared += 1
    assert compared >= 50


def _has_null_duration(plan: dict) -> bool:
    return any(task.get("estimated_duration_ms", 0) is None for task in plan.get("tasks") or [])
