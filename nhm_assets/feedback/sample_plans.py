"""Cognitive plans and verdicts drawn at random, for synthetic rows and for demo documents."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

_ACTIONS: Final = (
    "Migrate",
    "Audit",
    "Publish",
    "Encrypt",
    "Validate",
    "Refactor",
    "Provision",
    "Archive",
    "Deduplicate",
    "Profile",
)
_SUBJECTS: Final = (
    "the checkout flow",
    "customer records",
    "the billing service",
    "nested approval rules",
    "the event queue",
    "user sessions",
    "the session handler",
    "database schema",
    "the repository of contracts",
    "payment events",
    "a complex report",
    "legacy utilities",
    "the partner endpoint",
    "inventory data",
)
_TASK_TYPES: Final = ("analysis", "transformation", "validation", "integration", "query", "deploy")
_DOMAINS: Final = ("BUSINESS", "TECHNICAL", "SECURITY", "INFRASTRUCTURE", "security-analysis", "code-quality")
_PRIORITIES: Final = ("low", "normal", "high", "critical")

_APPROVED_BELOW: Final = 1.0
_REJECTED_ABOVE: Final = 1.2
_MOST_TASKS: Final = 9


def sample_plan(rng: random.Random, plan_id: str, created_at: datetime) -> dict[str, Any]:
    """A cognitive plan of two to nine tasks that depend only on earlier tasks."""
    tasks = [_sample_task(rng, position) for position in range(rng.randint(2, _MOST_TASKS))]
    risk = round(rng.betavariate(2, 2), 4)
    return {
        "plan_id": plan_id,
        "version": "1.0.0",
        "intent_id": f"intent-{plan_id}",
        "tasks": tasks,
        "execution_order": [task["task_id"] for task in tasks],
        "risk_score": risk,
        "risk_band": "low" if risk < 0.35 else "medium" if risk < 0.7 else "high",
        "status": "validated",
        "created_at": created_at,
        "complexity_score": round(rng.betavariate(2, 2), 4),
        "original_domain": rng.choice(_DOMAINS),
        "original_priority": rng.choice(_PRIORITIES),
        "original_security_level": "internal",
        "metadata": {},
    }


def _sample_task(rng: random.Random, position: int) -> dict[str, Any]:
    dependencies = [f"task_{earlier}" for earlier in range(position) if rng.random() < 0.4]
    return {
        "task_id": f"task_{position}",
        "task_type": rng.choice(_TASK_TYPES),
        "description": f"{rng.choice(_ACTIONS)} {rng.choice(_SUBJECTS)}",
        "dependencies": dependencies,
        "estimated_duration_ms": rng.randint(5_000, 120_000),
        "required_capabilities": rng.sample(("read", "write", "network", "compute"), k=2),
        "parameters": {},
        "metadata": {},
    }


def sample_verdict(rng: random.Random, features: Mapping[str, float], *, disagreement: float) -> tuple[str, float]:
    """What a reviewer might recommend for a plan with these features, and a rating from 0 to 1.

    Args:
        rng: source of randomness.
        features: the computed features of the plan.
        disagreement: the fraction of recommendations that are random instead.
    """
    if rng.random() < disagreement:
        recommendation = rng.choice(("approve", "reject", "review_required"))
    else:
        doubt = (
            1.4 * features["risk_score"]
            + 0.3 * features["complexity_score"]
            + 0.08 * features["num_anti_patterns_detected"]
        )
        if doubt < _APPROVED_BELOW:
            recommendation = "approve"
        else:
            recommendation = "reject" if doubt > _REJECTED_ABOVE else "review_required"
    return recommendation, round(rng.uniform(0.4, 1.0), 3)
