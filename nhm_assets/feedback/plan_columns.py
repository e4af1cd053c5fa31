"""The computed features of many plans at once, from the bytes of their documents.

They are those of `compute_features`, bit for bit: the same operations in the same order, on arrays. A plan that is
unusual in any way is *odd*, and left to `compute_features`: one with a cycle, with hundreds of tasks, with numbers that
a float does not hold exactly, with an id that is long or not ASCII, or with anything that may be invalid.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from nhm_assets.domain.feature_names import COMPUTED_FEATURES
from nhm_assets.feedback.bson_columns import (
    ARRAY,
    MAP,
    MISSING,
    NULL,
    STRING,
    Answers,
    Column,
    read_fields,
    read_items,
)
from nhm_assets.feedback.column_values import looked_up, not_ascii, numbers
from nhm_assets.feedback.features import (
    COMPLEXITY_FACTORS,
    DOMAIN_RISKS,
    LARGEST_FEATURE,
    PRIORITY_SCORES,
)
from nhm_assets.feedback.graph_columns import Items, graph_columns
from nhm_assets.feedback.phrase_columns import pattern_columns

_EXACT: Final = 2.0**53
_LONGEST_ID: Final = 6
_PLAN_FIELDS: Final = ("original_domain", "original_priority", "risk_score", "complexity_score", "tasks")
_TASK_FIELDS: Final = ("task_id", "task_type", "description", "dependencies", "estimated_duration_ms")


def features_of_plans(answers: Answers, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features of the plans that start there, plans x 23, and which plans are odd: their rows mean nothing."""
    plan, odd = read_fields(answers, starts, _PLAN_FIELDS)
    odd |= (plan["tasks"].kinds != ARRAY) | (plan["original_domain"].kinds != STRING)
    odd |= ~plan["original_priority"].is_of(STRING, NULL, MISSING)
    usual = np.flatnonzero(~odd)
    owners, items, too_odd = read_items(answers, plan["tasks"].places[usual])
    odd[usual[too_odd]] = True
    owners = usual[owners]
    task, strange = read_fields(answers, np.where(items.kinds == MAP, items.places, 0), _TASK_FIELDS)
    strange |= items.kinds != MAP
    features = {
        **_plan_columns(answers, plan, odd),
        **_task_columns(answers, task, owners, strange, len(starts)),
        **pattern_columns(answers, task["description"], owners, strange, len(starts)),
        **graph_columns(_tasks_and_dependencies(answers, task, owners, strange, odd), odd),
    }
    odd[owners[strange]] = True
    values = np.column_stack([features[name] for name in COMPUTED_FEATURES])
    odd |= ~(np.abs(values) <= LARGEST_FEATURE).all(axis=1)
    return values, odd


def _plan_columns(answers: Answers, plan: Mapping[str, Column], odd: np.ndarray) -> dict[str, np.ndarray]:
    columns = {
        "priority_score": looked_up(answers, plan["original_priority"], PRIORITY_SCORES, 0.5, odd),
        "domain_risk_weight": looked_up(answers, plan["original_domain"], DOMAIN_RISKS, 0.5, odd),
    }
    for name in ("risk_score", "complexity_score"):
        values, _ = numbers(answers, plan[name], with_bools=True)
        columns[name] = np.where(plan[name].kinds == MISSING, 0.5, values)
    return columns


def _task_columns(
    answers: Answers, task: Mapping[str, Column], owners: np.ndarray, strange: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    durations, is_number = numbers(answers, task["estimated_duration_ms"], with_bools=True)
    strange |= ~is_number & ~task["estimated_duration_ms"].is_of(NULL, MISSING)
    # In floats, integers add up exactly below this, in any order.
    strange |= ~(np.bincount(owners, np.abs(durations), size) < _EXACT)[owners]
    strange |= ~task["task_type"].is_of(STRING, NULL, MISSING)
    factors = looked_up(answers, task["task_type"], COMPLEXITY_FACTORS, 0.0, strange)
    counts = np.bincount(owners, minlength=size).astype("float64")
    # `bincount` adds from left to right.
    total = np.bincount(owners, durations, size)
    known = np.bincount(owners, factors > 0, size)
    return {
        "num_tasks": counts,
        "total_duration_ms": total,
        "avg_duration_ms": total / np.maximum(counts, 1),
        "avg_task_complexity_factor": np.where(known, np.bincount(owners, factors, size) / np.maximum(known, 1), 1.0),
    }


def _tasks_and_dependencies(
    answers: Answers, task: Mapping[str, Column], owners: np.ndarray, strange: np.ndarray, odd: np.ndarray
) -> Items:
    """The ids of all tasks, then those that tasks depend on, as numbers that are equal where the texts are."""
    dependencies = task["dependencies"]
    strange |= ~dependencies.is_of(ARRAY, MISSING) | (task["task_id"].kinds != STRING)
    with_some = np.flatnonzero(dependencies.kinds == ARRAY)
    dependents, items, too_odd = read_items(answers, dependencies.places[with_some])
    strange[with_some[too_odd]] = True
    dependents = with_some[dependents]
    strange[dependents[items.kinds != STRING]] = True
    texts = [column.texts(answers) for column in (task["task_id"], items)]
    places, sizes = (np.concatenate(parts) for parts in zip(*texts, strict=True))
    count = min(_LONGEST_ID, -(-int(sizes.max(initial=1)) // 8))
    words = answers.text_words(places, sizes, count)
    plans = np.concatenate([owners, owners[dependents]])
    odd[plans[(sizes > 8 * count) | not_ascii(words)]] = True
    return Items(plans, np.column_stack([sizes.astype("u8"), words]), dependents)
