"""Features of many plans at once are those of one plan after the other, to the last bit; what is odd is left to those.

Plans are made from a seed, so a failure names the seed that repeats it.
"""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from bson import Code, Int64, Regex, decode, encode

from nhm_assets.feedback import bson_columns, graph_columns
from nhm_assets.feedback.bson_columns import Answers
from nhm_assets.feedback.features import InvalidPlan, compute_features, has_unreadable_text
from nhm_assets.feedback.plan_columns import features_of_plans
from nhm_assets.feedback.sample_plans import sample_plan
from resources.mongo import tolerant_decoding
from tests.support.strange_values import Strange, as_stored

PLANS = 3000
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = (
    "service",
    "API",
    "rest",
    "Controller",
    "queue",
    "write",
    "manager",
    "nested",
    "deep",
    "apİ",
    "Prevent",
    "é",
    "",
)
IDS = ("a", "b", "c", "d", "task_10", "a longer id of a task", "0123456789abcdef0123456789abcdef-7890", "", "a\0")

Document = dict[str, Any]


def fast(stored: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    answers = Answers(stored)
    return features_of_plans(answers, answers.starts())


def slow(stored: bytes) -> list[float] | None:
    """One plan by itself; None if it is no plan or an invalid one."""
    plan = decode(stored, tolerant_decoding())
    if not isinstance(plan.get("tasks"), list) or has_unreadable_text(plan):
        return None
    try:
        return list(compute_features(plan).values())
    except InvalidPlan:
        return None


def odd_share(stored: list[bytes]) -> float:
    """The share of odd plans, after a comparison of all others."""
    values, odd = fast(stored)
    for number, one in enumerate(stored):
        if not odd[number]:
            # As bytes, so that -0.0 and 0.0 differ.
            assert slow(one) is not None, f"plan {number} is none, or invalid: {decode(one, tolerant_decoding())}"
            assert values[number].tobytes() == np.array(slow(one)).tobytes(), (number, decode(one))
    return float(odd.mean())


def random_task(rng: random.Random, before: list[str]) -> Document:
    """A task with any of its fields missing or of any valid kind."""
    task: Document = {"task_id": rng.choice(IDS) if rng.random() < 0.5 else f"t{len(before)}"}
    if rng.random() < 0.9:
        task["task_type"] = rng.choice(["analysis", "transformation", "validation", "integration", "query", "", None])
    if rng.random() < 0.9:
        task["description"] = " ".join(rng.choices(WORDS, k=rng.randint(0, 4)))
    if rng.random() < 0.9:
        task["dependencies"] = rng.choices([*before, "ghost"], k=rng.choice([0, 0, 1, 1, 2, 4]))
    if rng.random() < 0.9:
        task["estimated_duration_ms"] = rng.choice([7, 0.1, 1e-3, Int64(2**40), 2**31, -5, -0.0, True, None, 1e12, 0.3])
    if rng.random() < 0.3:
        task["parameters"] = {"anything": [1, {"more": None}], "at": NOW}
    return task


def random_plan(rng: random.Random) -> Document:
    tasks: list[Document] = []
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 8, 20])):
        tasks.append(random_task(rng, [one["task_id"] for one in tasks]))
    plan = {
        "original_domain": rng.choice(["TECHNICAL", "security-analysis", "performance-optimization", ""]),
        "tasks": tasks,
        "risk_score": rng.choice([0.5, 1, Int64(3), True, None, "0.7", -2.5, 1e30]),
        "complexity_score": rng.random(),
        "original_priority": rng.choice(["low", "normal", "high", "critical", "HIGH", None]),
        "plan_id": "p",
        "created_at": NOW,
    }
    for name in ("risk_score", "complexity_score", "original_priority", "plan_id"):
        if rng.random() < 0.1:
            del plan[name]
    return plan if rng.random() < 0.7 else dict(rng.sample(list(plan.items()), len(plan)))


@pytest.mark.parametrize("seed", range(4))
def test_valid_plans_of_every_shape_give_the_same_bits(seed: int):
    rng = random.Random(seed)
    share = odd_share([encode(random_plan(rng)) for _ in range(PLANS)])
    # Plans with cycles, and those whose layout few others have.
    assert share < 0.7


def test_strange_plans_give_the_same_bits_or_are_odd():
    """Nothing that a document can hold passes for something else."""
    strange = Strange(5)
    stored = [bytes(as_stored(strange.spoiled(random_plan(strange.rng), faults=2)).raw) for _ in range(PLANS)]
    assert 0.2 < sum(slow(one) is None for one in stored) / PLANS < 0.9
    for first in range(0, PLANS, 10):
        odd_share(stored[first : first + 10])


def test_ordinary_plans_are_not_odd():
    rng = random.Random(7)
    assert odd_share([encode(sample_plan(rng, f"plan-{number}", NOW)) for number in range(PLANS)]) == 0


def test_one_odd_plan_leaves_the_others_as_they_are():
    plans = [sample_plan(random.Random(number), "p", NOW) for number in range(30)]
    plans[10]["tasks"][0]["dependencies"] = [plans[10]["tasks"][0]["task_id"]]
    plans[20]["original_domain"] = Code("TECHNICAL")
    _, odd = fast([encode(one) for one in plans])
    assert np.flatnonzero(odd).tolist() == [10, 20]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"tasks": [{"$ref": "tasks", "$id": 1, "task_id": "a"}]}, id="a task that decodes to a reference"),
        pytest.param({"tasks": [{"task_id": "ä"}]}, id="an id that is not ASCII"),
        pytest.param({"tasks": [{"task_id": "a" * 100}]}, id="a long id"),
        pytest.param({"tasks": [{"task_id": 1}]}, id="a number as an id"),
        pytest.param({"tasks": [{"task_id": str(number)} for number in range(300)]}, id="hundreds of tasks"),
        pytest.param({"tasks": [{"task_id": "a", "dependencies": "bc"}]}, id="a text of dependencies"),
        pytest.param({"tasks": [{"task_id": "a", "estimated_duration_ms": 2**60}]}, id="an inexact sum"),
        pytest.param({"tasks": {"0": {"task_id": "a"}}}, id="a map of tasks"),
        pytest.param({"risk_score": 1e39}, id="a score beyond what a forest can read"),
        pytest.param({"pattern": Regex("a")}, id="a type whose size is not written down"),
    ],
)
def test_an_unusual_plan_is_odd(change: Mapping[str, Any]):
    plan = {"original_domain": "TECHNICAL", "tasks": []}
    assert fast([encode(plan)])[1].tolist() == [False]
    assert fast([encode({**plan, **change})])[1].tolist() == [True]


def test_a_batch_without_tasks_or_without_plans_is_computed_too():
    plan = encode({"original_domain": "TECHNICAL", "tasks": []})
    assert odd_share([plan, plan]) == 0
    assert fast([])[0].shape == (0, 23)


def test_different_ids_with_the_same_hash_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graph_columns, "_FACTOR", np.uint64(0))
    plan = {"original_domain": "TECHNICAL", "tasks": [{"task_id": "a"}, {"task_id": "b"}]}
    assert fast([encode(plan)])[1].tolist() == [True]


def test_more_layouts_than_are_tried_are_odd_and_not_wrong(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bson_columns, "_MOST_LAYOUTS", 2)
    plan = {"original_domain": "TECHNICAL", "tasks": []}
    stored = [encode({**dict.fromkeys("abc"[:extra]), **plan}) for extra in (0, 1, 2, 3, 0, 1)]
    assert fast(stored)[1].tolist() == [False, False, True, True, False, False]
    odd_share(stored)


def test_the_golden_vectors_are_reproduced(golden_vectors):
    vectors = [json.loads(line) for line in golden_vectors.read_text(encoding="utf-8").splitlines()]
    values, odd = fast([encode(vector["plan"]) for vector in vectors])
    compared = 0
    for vector, row, is_odd in zip(vectors, values, odd, strict=True):
        if is_odd or any(task.get("estimated_duration_ms", 0) is None for task in vector["plan"].get("tasks") or []):
            continue
        assert row.tolist() == list(compute_features(vector["plan"]).values())
        assert row.tolist() == pytest.approx([vector["features"][name] for name in compute_features(vector["plan"])])
        compared += 1
    assert compared >= 20
