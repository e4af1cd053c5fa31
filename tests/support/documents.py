"""Documents as the contract describes them, and a way to put them into MongoDB."""

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nhm_assets.demo.load import make_indexes
from nhm_assets.domain.dataset_schema import LABELS
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict
from nhm_assets.settings import Settings

WEEK = "2026-03-01"
WEEK_END = datetime(2026, 3, 8, tzinfo=UTC)
WINDOW_START = WEEK_END - timedelta(days=30)
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
"""The tests' current time: the week above ended twelve days ago."""

Document = dict[str, Any]


def plan(plan_id: str = "plan-1", tasks: Sequence[Document] | None = None, **fields: Any) -> Document:
    """A small valid plan; pass a field to change it."""
    return {
        "plan_id": plan_id,
        "tasks": [task("a"), task("b", dependencies=["a"])] if tasks is None else list(tasks),
        "risk_score": 0.25,
        "complexity_score": 0.5,
        "original_domain": "TECHNICAL",
        "original_priority": "high",
        **fields,
    }


def task(task_id: str, **fields: Any) -> Document:
    return {
        "task_id": task_id,
        "task_type": "analysis",
        "description": "Look at it",
        "dependencies": [],
        "estimated_duration_ms": 1000,
        **fields,
    }


def opinion(number: int | str = 1, *, specialist: str = "technical", **fields: Any) -> Document:
    """An opinion with its plan; pass `cognitive_plan=None` to leave the plan out."""
    document = {
        "opinion_id": f"opinion-{number}",
        "plan_id": f"plan-{number}",
        "specialist_type": specialist,
        "cognitive_plan": plan(f"plan-{number}"),
        "recommendation": "approve",
        "schema_version": 1,
        **fields,
    }
    if document["cognitive_plan"] is None:
        del document["cognitive_plan"]
    return document


def feedback(number: int | str = 1, *, specialist: str = "technical", **fields: Any) -> Document:
    """Feedback on the opinion with the same number, in the middle of the window."""
    return {
        "feedback_id": f"feedback-{number}",
        "opinion_id": f"opinion-{number}",
        "plan_id": f"plan-{number}",
        "specialist_type": specialist,
        "human_rating": 0.8,
        "human_recommendation": "approve",
        "submitted_at": WEEK_END - timedelta(days=10),
        "submitted_by": "reviewer@example.org",
        "feedback_notes": "",
        "feedback_source": "human_expert",
        "schema_version": "1.0.0",
        "metadata": {},
        **fields,
    }


def reviewed_opinions(
    count: int,
    *,
    specialist: str = "technical",
    seed: int = 1,
    disagreement: float = 0.03,
    end: datetime = WEEK_END,
    days: float = 30,
    recommendations: Iterable[str] | None = None,
) -> tuple[list[Document], list[Document]]:
    """Opinions and their feedback from which a forest can learn, evenly spread over the days before `end`.

    They are the same whenever that is, so that what is learned from them does not hang on the day of the test.
    Give `recommendations` to keep only plans that reviewers would judge so.
    """
    rng = random.Random(f"{seed}-{specialist}-{WEEK_END}")
    allowed = set(recommendations or ("approve", "reject", "review_required"))
    opinions: list[Document] = []
    reviews: list[Document] = []
    while len(opinions) < count:
        number = f"{specialist}-{seed}-{end:%m%d}-{len(opinions)}"
        moment = end - timedelta(days=days) * (1 - len(opinions) / count)
        sampled = sample_plan(rng, f"plan-{number}", moment)
        label, rating = sample_verdict(rng, compute_features(sampled), disagreement=disagreement)
        if label not in allowed:
            continue
        opinions.append(opinion(number, specialist=specialist, cognitive_plan=sampled))
        reviews.append(
            feedback(
                number,
                specialist=specialist,
                human_recommendation=label,
                human_rating=rating,
                submitted_at=moment,
            )
        )
    return opinions, reviews


def strict_reviews(count: int, **how: Any) -> tuple[list[Document], list[Document]]:
    """Reviewed opinions of reviewers who reject what they sent to review, and the other way round."""
    opinions, reviews = reviewed_opinions(count, **how)
    other = {"reject": "review_required", "review_required": "reject"}
    for review in reviews:
        review["human_recommendation"] = other.get(review["human_recommendation"], review["human_recommendation"])
    return opinions, reviews


def revealed_opinions(count: int, **how: Any) -> tuple[list[Document], list[Document]]:
    """Reviewed opinions whose plans' risk score is the label: the blocking check `no_leakage` fails."""
    opinions, reviews = reviewed_opinions(count, **how)
    for one, review in zip(opinions, reviews, strict=True):
        one["cognitive_plan"]["risk_score"] = float(LABELS[review["human_recommendation"]])
    return opinions, reviews


def put(
    database: Any,
    *,
    feedback: Sequence[Document] = (),
    opinions: Sequence[Document] = (),
    plans: Sequence[Document] = (),
    features: Sequence[Document] = (),
) -> None:
    """Insert documents where the platform looks for them, with the indexes that their owners have."""
    make_indexes(database, Settings())
    for collection, documents in (
        ("specialist_feedback", feedback),
        ("specialist_opinions", opinions),
        ("cognitive_ledger", plans),
        ("plan_features", features),
    ):
        if documents:
            database[collection].insert_many([dict(one) for one in documents])
