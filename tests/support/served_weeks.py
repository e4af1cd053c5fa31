"""A world with known truth: weeks of opinions by versions of a model, and what people said of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from tests.support.documents import feedback, opinion

Document = dict[str, Any]


def answered_week(
    start: datetime,
    count: int,
    *,
    version: str | None,
    seed: int = 1,
    name: str = "",
    specialist: str = "technical",
    days: float = 7,
    worse: float = 0.0,
    reviewed: float = 1.0,
    review_after: timedelta = timedelta(minutes=5),
) -> tuple[list[Document], list[Document]]:
    """Opinions spread over some days from `start`, and people's feedback on a share of them soon after.

    The confidence is the true probability that people approve, except for a share `worse` of the plans: there people
    say what a coin does, whatever the confidence.

    Args:
        start: the first opinion is given then.
        count: number of opinions.
        version: that gives them; None for fallbacks.
        seed: other documents for another number.
        name: begins the ids.
        specialist: who gives them.
        days: over which they are spread.
        worse: share of plans on which the confidence says nothing.
        reviewed: share of opinions with feedback.
        review_after: from opinion to feedback.
    """
    draw = np.random.default_rng(seed)
    confidence = draw.beta(0.8, 0.8, count).clip(0.001, 0.999)
    risk = (1 - confidence) * draw.uniform(0.5, 0.9, count)
    truth = np.where(draw.random(count) < worse, 0.5, confidence)
    said = np.where(draw.random(count) < truth, "approve", "reject")
    origin = {"model_source": "ml_model", "model_version": version} if version else {"model_source": "heuristics"}
    opinions, reviews = [], []
    for number in range(count):
        given = start + timedelta(days=days) * number / count
        key = f"{specialist}-{name or start.strftime('%m%d')}-{version}-{seed}-{number}"
        scores = {"confidence_score": float(confidence[number]), "risk_score": float(risk[number])}
        inside = {**scores, "recommendation": "review_required", "metadata": origin}
        fields = {"cognitive_plan": None, "schema_version": 2, "opinion": inside, "evaluated_at": given}
        opinions.append(opinion(key, specialist=specialist, **fields))
        if draw.random() < reviewed:
            verdict = {"human_recommendation": str(said[number]), "submitted_at": given + review_after}
            reviews.append(feedback(key, specialist=specialist, **verdict))
    return opinions, reviews


def promotion(version: str, at: datetime, *, model: str = "technical-evaluator") -> Document:
    """The audit log's entry of a promotion."""
    key = {"_id": f"promotion:{model}:{version}:{at:%Y%m%d%H}", "kind": "promoted", "state": "done"}
    return {**key, "model": model, "version": version, "at": at, "released_at": at}


def restart(version: str, at: datetime, *, minutes: float, model: str = "technical-evaluator") -> Document:
    """The audit log's entry of the rollout that a promotion caused."""
    key = {"_id": f"rollout:{model}:{version}:{at:%Y%m%d%H}", "kind": "rollout", "state": "done"}
    ended = {"result": "rolled out", "released_at": at + timedelta(minutes=minutes), "seconds": minutes * 60}
    return {**key, "model": "specialist_rollout", "registered_model": model, "version": version, "at": at, **ended}


def store(database: Any, weeks: Sequence[tuple[list[Document], list[Document]]], log: Sequence[Document] = ()) -> None:
    """Put opinions and feedback into the database, and entries into the audit log."""
    for opinions, reviews in weeks:
        database["specialist_opinions"].insert_many(opinions)
        if reviews:
            database["specialist_feedback"].insert_many(reviews)
    if log:
        database["model_audit_log"].insert_many(list(log))
