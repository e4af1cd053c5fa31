"""Documents for the benchmarks: opinions on plans of six tasks, with the indexes that their owners create."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.demo.load import make_indexes
from nhm_assets.domain.dataset_schema import EMBEDDING_FEATURES
from nhm_assets.domain.partitions import Window
from nhm_assets.feedback.features import compute_features
from nhm_assets.feedback.reader import CollectionNames
from nhm_assets.feedback.sample_plans import sample_plan, sample_verdict
from nhm_assets.feedback.stored_features import ensure_index
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.database import Database

Document = dict[str, Any]

TASKS: Final = 6
WEEK: Final = "2026-03-01"
WEEK_END: Final = datetime(2026, 3, 8, tzinfo=UTC)
NOW: Final = datetime(2026, 3, 20, 12, tzinfo=UTC)
_DISAGREEMENT: Final = 0.03
_BATCH: Final = 2000

NAMES: Final = CollectionNames("specialist_feedback", "specialist_opinions", "cognitive_ledger", "plan_features")


def seed(
    database: "Database[Document]", specialist: str, count: int, *, every: timedelta, stored_fraction: float
) -> None:
    """Write opinions of one specialist with their feedback, plans and stored features.

    Args:
        database: the database to write to.
        specialist: the specialist that gives the opinions.
        count: number of opinions, each on its own plan and with one feedback.
        every: time between two feedback documents; the newest is just before the end of `WEEK`.
        stored_fraction: fraction of the plans with stored features.
    """
    make_indexes(database, Settings())
    ensure_index(database[NAMES.features])
    drawn = _reviewed(specialist, count, every, stored_fraction)
    while batch := list(islice(drawn, _BATCH)):
        for collection in (NAMES.feedback, NAMES.opinions, NAMES.plans, NAMES.features):
            if documents := [one[collection] for one in batch if collection in one]:
                database[collection].insert_many(documents, ordered=False)


def window_of(rows: int, every: timedelta) -> Window:
    """The window with this many of the newest feedback documents."""
    return Window(WEEK_END - rows * every, WEEK_END)


def _reviewed(specialist: str, count: int, every: timedelta, stored_fraction: float) -> Iterator[dict[str, Document]]:
    """Collection name -> document, for one opinion after the other. Half of the plans are in the ledger."""
    rng = random.Random(f"{specialist}-{count}")  # noqa: S311 - reproducible documents
    for number in range(count):
        submitted_at = WEEK_END - every * (count - number)
        name = f"{specialist}-{rng.getrandbits(64):016x}-{number:06d}"
        plan = _plan(rng, f"plan-{name}", submitted_at - timedelta(hours=3))
        features = compute_features(plan)
        recommendation, rating = sample_verdict(rng, features, disagreement=_DISAGREEMENT)
        opinion = _opinion(name, specialist, plan)
        documents = {NAMES.feedback: _feedback(name, specialist, recommendation, rating, submitted_at)}
        if number % 2:
            opinion["cognitive_plan"] = plan
        else:
            documents[NAMES.plans] = _ledger_entry(plan)
        documents[NAMES.opinions] = opinion
        if rng.random() < stored_fraction:
            documents[NAMES.features] = _stored(rng, plan["plan_id"], features)
        yield documents


def _plan(rng: random.Random, plan_id: str, created_at: datetime) -> Document:
    """A sample plan cut to six tasks. Tasks depend only on earlier ones, so the dependencies stay complete."""
    while True:
        plan = sample_plan(rng, plan_id, created_at)
        if len(plan["tasks"]) >= TASKS:
            tasks = plan["tasks"][:TASKS]
            order = [task["task_id"] for task in tasks]
            return {**plan, "tasks": tasks, "execution_order": order, "reasoning_summary": "…", "schema_version": 1}


def _opinion(name: str, specialist: str, plan: Document) -> Document:
    evaluated_at = plan["created_at"] + timedelta(minutes=3)
    return {
        "opinion_id": f"opinion-{name}",
        "plan_id": plan["plan_id"],
        "intent_id": plan["intent_id"],
        "correlation_id": f"correlation-{name}",
        "specialist_type": specialist,
        "specialist_version": "1.0.9",
        "explainability": {"method": "heuristic", "model_version": "2", "model_type": "sklearn"},
        "evaluated_at": evaluated_at,
        "created_at": evaluated_at,
        "processing_time_ms": 184,
        "schema_version": 1,
        "recommendation": "approve",
        "confidence_score": 0.78,
        "risk_score": 0.41,
    }


def _feedback(name: str, specialist: str, recommendation: str, rating: float, submitted_at: datetime) -> Document:
    return {
        "feedback_id": f"feedback-{name}",
        "schema_version": "1.0.0",
        "opinion_id": f"opinion-{name}",
        "plan_id": f"plan-{name}",
        "specialist_type": specialist,
        "human_rating": rating,
        "human_recommendation": recommendation,
        "feedback_notes": "",
        "submitted_by": "reviewer-02@hive.example",
        "submitted_at": submitted_at,
        "feedback_source": "human_expert",
        "metadata": {},
    }


def _ledger_entry(plan: Document) -> Document:
    return {
        "plan_id": plan["plan_id"],
        "intent_id": plan["intent_id"],
        "version": plan["version"],
        "timestamp": plan["created_at"],
        "risk_score": plan["risk_score"],
        "risk_band": plan["risk_band"],
        "plan_data": plan,
        "hash": "716064a0-0982-4d4a-b17b-1ce189744ec4",
    }


def _stored(rng: random.Random, plan_id: str, features: dict[str, float]) -> Document:
    """Features as the specialists store them at inference time, including those of their embedding model."""
    embedding = {name: rng.uniform(0.1, 4.5) for name in EMBEDDING_FEATURES}
    aggregated = {**features, **embedding, "max_norm": 4.4, "min_norm": 3.5, "has_risk_score": 1.0}
    return {
        "plan_id": plan_id,
        "features": json.dumps({"aggregated_features": aggregated}),
        "timestamp": WEEK_END.timestamp(),
    }
