"""The features of one plan, against numbers worked out by hand from the feature specification."""

import json
import math

import pytest
from bson.decimal128 import Decimal128

from nhm_assets.domain.dataset_schema import COMPUTED_FEATURES, EMBEDDING_FEATURES
from nhm_assets.feedback.features import FEATURE_NAMES, InvalidPlan, compute_features

EMPTY_PLAN = {
    "num_tasks": 0.0,
    "priority_score": 0.5,
    "total_duration_ms": 0.0,
    "avg_duration_ms": 0.0,
    "risk_score": 0.5,
    "complexity_score": 0.5,
    "domain_risk_weight": 0.5,
    "avg_task_complexity_factor": 1.0,
    "num_patterns_detected": 0.0,
    "num_anti_patterns_detected": 0.0,
    "avg_pattern_quality": 0.5,
    "total_anti_pattern_penalty": 0.0,
    "num_nodes": 0.0,
    "num_edges": 0.0,
    "density": 0.0,
    "avg_in_degree": 0.0,
    "max_in_degree": 0.0,
    "critical_path_length": 0.0,
    "max_parallelism": 0.0,
    "num_levels": 0.0,
    "avg_coupling": 0.0,
    "num_bottlenecks": 0.0,
    "graph_complexity_score": 0.0,
}
"""What a plan without tasks and without scores yields; the other plans below name what differs."""

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

ONE_TASK = {
    "num_tasks": 1.0,
    "num_nodes": 1.0,
    "avg_in_degree": 1.0,
    "max_in_degree": 1.0,
    "max_parallelism": 1.0,
    "num_levels": 1.0,
    "graph_complexity_score": 0.03,
}

THREE_NODES_TWO_ARCS_INTO_ONE = {
    "num_nodes": 3.0,
    "num_edges": 2.0,
    "density": 1 / 3,
    "avg_in_degree": 1 / 3,
    "max_in_degree": 1.0,
    "critical_path_length": 1.0,
    "max_parallelism": 2.0,
    "num_levels": 2.0,
    "avg_coupling": 2 / 3,
    "graph_complexity_score": 0.2 + 0.8 / 9 + 0.06,
}


def chain(*dependencies: list[str]) -> list[dict]:
    """Tasks t0, t1, ... with these dependencies and nothing else."""
    return [{"task_id": f"t{number}", "dependencies": ids} for number, ids in enumerate(dependencies)]


def of(*tasks: dict, **fields) -> dict[str, float]:
    """The features of a plan with these tasks and otherwise only what it must have."""
    return compute_features({"original_domain": "TECHNICAL", "tasks": list(tasks), **fields})


@pytest.mark.parametrize(
    ("tasks", "differences"),
    [
        pytest.param([], {}, id="empty plan"),
        pytest.param([{"task_id": "a"}], ONE_TASK, id="single node"),
        pytest.param(
            [{"task_id": ""}, {"task_id": " "}],
            {
                "num_tasks": 2.0,
                "num_nodes": 2.0,
                "max_parallelism": 2.0,
                "num_levels": 1.0,
                "graph_complexity_score": 0.03,
            },
            id="the empty string and a blank are two ids",
        ),
        pytest.param(
            [{"task_id": "a", "dependencies": ["a"]}],
            {
                "num_tasks": 1.0,
                "num_nodes": 1.0,
                "num_edges": 1.0,
                "avg_in_degree": 1.0,
                "max_in_degree": 1.0,
                "max_parallelism": 1.0,
                "avg_coupling": 1.0,
                "graph_complexity_score": 0.4 / 3,
            },
            id="self loop",
        ),
        pytest.param(
            chain([], ["t0"], ["t1"]),
            {
                "num_tasks": 3.0,
                "num_nodes": 3.0,
                "num_edges": 2.0,
                "density": 1 / 3,
                "avg_in_degree": 1 / 3,
                "max_in_degree": 0.5,
                "critical_path_length": 2.0,
                "max_parallelism": 1.0,
                "num_levels": 3.0,
                "avg_coupling": 2 / 3,
                "graph_complexity_score": 0.2 + 0.8 / 9 + 0.09,
            },
            id="chain of three: its middle ties at one half",
        ),
        pytest.param(
            chain(["t2"], ["t0"], ["t1"]),
            {
                "num_tasks": 3.0,
                "num_nodes": 3.0,
                "num_edges": 3.0,
                "density": 0.5,
                "avg_in_degree": 0.5,
                "max_in_degree": 0.5,
                "max_parallelism": 1.0,
                "avg_coupling": 1.0,
                "graph_complexity_score": 0.3 + 0.4 / 3,
            },
            id="ring of three: each node ties at one half",
        ),
        pytest.param(
            chain(["t1", "t2", "t3"], ["t0"], ["t0"], ["t0"]),
            {
                "num_tasks": 4.0,
                "num_nodes": 4.0,
                "num_edges": 6.0,
                "density": 0.5,
                "avg_in_degree": 0.5,
                "max_in_degree": 1.0,
                "max_parallelism": 1.0,
                "avg_coupling": 1.5,
                "num_bottlenecks": 1.0,
                "graph_complexity_score": 0.5,
            },
            id="two-way star: all paths pass its hub",
        ),
        pytest.param(
            [{"task_id": "a", "dependencies": ["nobody"]}],
            {
                "num_tasks": 1.0,
                "num_nodes": 2.0,
                "num_edges": 1.0,
                "density": 0.5,
                "avg_in_degree": 0.5,
                "max_in_degree": 1.0,
                "critical_path_length": 1.0,
                "max_parallelism": 1.0,
                "num_levels": 2.0,
                "avg_coupling": 0.5,
                "graph_complexity_score": 0.3 + 0.2 / 3 + 0.06,
            },
            id="ghost dependency",
        ),
        pytest.param(
            [{"task_id": "a"}, {"task_id": "b", "dependencies": ["a"]}, {"task_id": "b", "dependencies": ["c"]}],
            {"num_tasks": 3.0, **THREE_NODES_TWO_ARCS_INTO_ONE},
            id="duplicate ids join their arcs",
        ),
        pytest.param(
            [{"task_id": "c", "dependencies": "ab"}],
            {"num_tasks": 1.0, **THREE_NODES_TWO_ARCS_INTO_ONE},
            id="dependencies as one string are walked by character",
        ),
        pytest.param(
            [{"task_id": "x", "dependencies": [1, "1"]}],
            {"num_tasks": 1.0, **THREE_NODES_TWO_ARCS_INTO_ONE},
            id="a number and its spelling are two ids",
        ),
    ],
)
def test_a_plan_yields_the_numbers_of_the_specification(tasks: list[dict], differences: dict[str, float]):
    assert of(*tasks) == pytest.approx({**EMPTY_PLAN, **differences}, abs=1e-12)


def test_an_ordinary_plan_yields_all_its_numbers():
    assert compute_features(DIAMOND) == pytest.approx(DIAMOND_FEATURES, abs=1e-12)


def test_features_are_floats_in_column_order():
    features = compute_features(DIAMOND)
    assert tuple(features) == COMPUTED_FEATURES
    assert {type(value) for value in features.values()} == {float}
    assert [*COMPUTED_FEATURES, *EMBEDDING_FEATURES] == list(FEATURE_NAMES)
    assert len(FEATURE_NAMES) == 26


def test_missing_tasks_are_no_tasks():
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
    assert of(**{field: value})[feature] == expected


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
    features = of(*({"task_id": str(n), "estimated_duration_ms": one} for n, one in enumerate(durations)))
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
    features = of(*({"task_id": str(number), "task_type": one} for number, one in enumerate(types)))
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
    features = of(*({"task_id": str(number), "description": one} for number, one in enumerate(descriptions)))
    assert features["num_patterns_detected"] == patterns
    assert features["avg_pattern_quality"] == pytest.approx(quality, abs=1e-12)
    assert features["num_anti_patterns_detected"] == anti_patterns
    assert features["total_anti_pattern_penalty"] == pytest.approx(penalty, abs=1e-12)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param({"tasks": None}, id="tasks null"),
        pytest.param({"tasks": {}}, id="tasks a map"),
        pytest.param({"tasks": ["a"]}, id="a task that is no map"),
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
def test_a_plan_in_error_is_an_invalid_plan(plan: dict):
    with pytest.raises(InvalidPlan) as raised:
        compute_features({"original_domain": "TECHNICAL", **plan})
    assert isinstance(raised.value, ValueError)


def test_a_missing_domain_is_an_error_even_without_tasks():
    with pytest.raises(InvalidPlan, match="original_domain is null or missing"):
        compute_features({"tasks": []})


@pytest.mark.parametrize("value", [3.4e38, -3.4e38])
def test_the_largest_numbers_that_a_forest_reads_are_valid(value: float):
    assert of(risk_score=value)["risk_score"] == value


@pytest.mark.parametrize("field", ["task_type", "description", "dependencies", "estimated_duration_ms"])
def test_a_missing_field_of_a_task_is_no_error(field: str):
    full = {"task_id": "a", "task_type": "query", "description": "", "dependencies": [], "estimated_duration_ms": 0}
    del full[field]
    assert of(full) == {**EMPTY_PLAN, **ONE_TASK}


def test_a_plan_is_left_as_it_was():
    before = json.dumps(DIAMOND)
    compute_features(DIAMOND)
    assert json.dumps(DIAMOND) == before


@pytest.mark.shared
def test_recorded_vectors_are_met(golden_vectors):
    """Vectors with a null duration are left out: the platform counts it as 0, the original does not."""
    met = 0
    for line in golden_vectors.read_text(encoding="utf-8").splitlines():
        vector = json.loads(line)
        if _has_null_duration(vector["plan"]):
            continue
        if "error" in vector:
            with pytest.raises(InvalidPlan):
                compute_features(vector["plan"])
        else:
            assert compute_features(vector["plan"]) == pytest.approx(vector["features"], abs=1e-9, rel=1e-12)
        met += 1
    assert met >= 50


def _has_null_duration(plan: dict) -> bool:
    return any(task.get("estimated_duration_ms", 0) is None for task in plan.get("tasks") or [])
