"""Features of one cognitive plan, as the specialists compute them at inference time.

They follow the platform's feature specification (sections 3 and 4): a default replaces a missing key, never a
null. Look-ups are exact, and nothing is clamped, trimmed or case-folded unless a rule says so. One deviation: a
null `estimated_duration_ms` counts as 0, because the Avro schema allows it.
"""

import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final

from nhm_assets.domain.errors import DataError
from nhm_assets.domain.feature_names import COMPUTED_FEATURES, FEATURE_NAMES
from nhm_assets.domain.text import is_string, is_unreadable
from nhm_assets.feedback.plan_graph import graph_features

__all__ = [
    "COMPUTED_FEATURES",
    "EXTRACTOR",
    "FEATURE_NAMES",
    "InvalidPlan",
    "compute_features",
    "has_unreadable_text",
]

EXTRACTOR: Final = {"name": "nhm-assets", "version": "1"}
"""Who computed a stored features document. The version changes whenever the value of any feature changes."""

LARGEST_FEATURE: Final = 3.4028234e38
"""Trees cast to float32, so one larger magnitude would stop the training on all rows."""

PRIORITY_SCORES: Final = {"low": 0.25, "normal": 0.5, "high": 0.75, "critical": 1.0}
DOMAIN_RISKS: Final = {
    "security-analysis": 0.35,
    "architecture-review": 0.30,
    "performance-optimization": 0.20,
    "code-quality": 0.15,
}
COMPLEXITY_FACTORS: Final = {"analysis": 1.2, "transformation": 1.5, "validation": 1.0, "integration": 1.8}
PATTERNS: Final = (
    (("service", "api", "endpoint", "rest"), 0.8),
    (("controller", "service", "repository", "model"), 0.9),
    (("event", "queue", "publish", "subscribe"), 0.85),
    (("command", "query", "read", "write"), 0.75),
)
ANTI_PATTERNS: Final = (
    (("manager", "handler", "util"), -0.3),
    (("complex", "nested", "deep"), -0.4),
)


class InvalidPlan(DataError, ValueError):
    """The features of this plan cannot be computed. The message names the field at fault."""


def compute_features(plan: Mapping[str, Any]) -> dict[str, float]:
    """The 23 features that can be computed from a plan, by name, in column order.

    Durations are in milliseconds. A score that is null or not a number counts as 0.0, a missing one as 0.5.

    Raises:
        InvalidPlan: a field has a type or value that the feature specification calls an error.
    """
    tasks = plan.get("tasks", [])
    if not isinstance(tasks, list):
        raise InvalidPlan(f"tasks is {_kind(tasks)}, not a list")
    for position, task in enumerate(tasks):
        if not isinstance(task, Mapping):
            raise InvalidPlan(f"tasks[{position}] is {_kind(task)}, not a map")
    try:
        features = {
            **_scalar_features(plan, tasks),
            **_pattern_features(tasks),
            **graph_features((_task_id(task) for task in tasks), _arcs(tasks)),
        }
    except (TypeError, OverflowError) as error:
        raise InvalidPlan(f"a field has an unusable type or size: {error}") from error
    return {name: _finite(name, features[name]) for name in COMPUTED_FEATURES}


def has_unreadable_text(plan: Mapping[str, Any]) -> bool:
    """Whether a text of the plan that a feature reads was not UTF-8. Other texts do not matter."""
    tasks = plan.get("tasks")
    read = [plan.get("original_domain"), plan.get("original_priority")]
    for task in tasks if isinstance(tasks, list) else ():
        if isinstance(task, Mapping):
            dependencies = task.get("dependencies")
            read += [task.get("task_id"), task.get("task_type"), task.get("description")]
            read += dependencies if isinstance(dependencies, list) else [dependencies]
    return any(map(is_unreadable, read))


def _scalar_features(plan: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    total = _total(map(_duration, tasks))
    domain = plan.get("original_domain")
    if not is_string(domain):
        raise InvalidPlan(f"original_domain is {_kind(domain)}, not a string")
    factors = [COMPLEXITY_FACTORS[kind] for task in tasks if (kind := task.get("task_type")) in COMPLEXITY_FACTORS]
    return {
        "num_tasks": float(len(tasks)),
        "priority_score": PRIORITY_SCORES.get(plan.get("original_priority"), 0.5),  # type: ignore[arg-type]
        "total_duration_ms": float(total),
        "avg_duration_ms": total / len(tasks) if tasks else 0.0,
        "risk_score": _score(plan, "risk_score"),
        "complexity_score": _score(plan, "complexity_score"),
        "domain_risk_weight": DOMAIN_RISKS.get(domain, 0.5),
        "avg_task_complexity_factor": _total(factors) / len(factors) if factors else 1.0,
    }


def _total(values: Iterable[float]) -> float:
    """The sum, added from left to right. `sum` compensates rounding errors from Python 3.12 on, and so differs."""
    return reduce(operator.add, values, 0)


def _duration(task: Mapping[str, Any]) -> float:
    duration = task.get("estimated_duration_ms", 0)
    if duration is None:
        return 0
    if not isinstance(duration, int | float):
        raise InvalidPlan(f"estimated_duration_ms is {_kind(duration)}, not a number")
    return duration


def _score(plan: Mapping[str, Any], name: str) -> float:
    score = plan.get(name, 0.5)
    return float(score) if isinstance(score, int | float) else 0.0


def _pattern_features(tasks: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    descriptions = [task.get("description", "") for task in tasks]
    for description in descriptions:
        if not is_string(description):
            raise InvalidPlan(f"a description is {_kind(description)}, not a string")
    # No phrase contains a line break, so no match spans two descriptions.
    text = "\n".join(descriptions).lower()
    qualities = [quality for phrases, quality in PATTERNS if any(phrase in text for phrase in phrases)]
    penalties = [penalty for phrases, penalty in ANTI_PATTERNS if any(phrase in text for phrase in phrases)]
    return {
        "num_patterns_detected": float(len(qualities)),
        "num_anti_patterns_detected": float(len(penalties)),
        "avg_pattern_quality": _total(qualities) / len(qualities) if qualities else 0.5,
        "total_anti_pattern_penalty": float(_total(penalties)),
    }


def _task_id(task: Mapping[str, Any]) -> Any:
    if task.get("task_id") is None:
        raise InvalidPlan("a task has no task_id")
    return task["task_id"]


def _arcs(tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, Any]]:
    for task in tasks:
        for dependency in task.get("dependencies", ()):
            if dependency is None:
                raise InvalidPlan(f"task {task['task_id']!r} depends on null")
            yield dependency, task["task_id"]


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value) or abs(value) > LARGEST_FEATURE:
        raise InvalidPlan(f"{name} is {value}, too large or not a number")
    return value


def _kind(value: object) -> str:
    return "null or missing" if value is None else f"a {type(value).__name__}"
