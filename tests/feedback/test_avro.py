"""Plans and opinions travel as Avro. What comes out gives the same features as what went in."""

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import pandas as pd
import pytest
from pymongo.database import Database

from nhm_assets.feedback.features import InvalidPlan, compute_features
from tests.support.documents import Document, put, reviewed_opinions
from tests.support.processes import ROOT
from tests.support.windows import assembled


def published(name: str) -> dict[str, Any]:
    return fastavro.parse_schema(json.loads((ROOT / f"docs/schemas/{name}.avsc").read_text()))


PLAN, OPINION = published("cognitive-plan"), published("specialist-opinion")
ALLOWED = 55
NEEDED = {
    "risk_factors": {},
    "explainability_token": "token",
    "reasoning_summary": "it fits",
    "original_security_level": "internal",
}
"""What the schema wants of a plan, and no feature is computed from."""


def travelled(document: Document, schema: dict[str, Any]) -> Document:
    """The document after it was written as Avro and read again."""
    with io.BytesIO() as wire:
        fastavro.schemaless_writer(wire, schema, document, strict_allow_default=True)
        wire.seek(0)
        return dict(fastavro.schemaless_reader(wire, schema, None))


def features_of(plan: Document) -> dict[str, float] | str:
    try:
        return compute_features(plan)
    except InvalidPlan:
        return "invalid"


def test_every_recorded_plan_that_the_schema_allows_keeps_its_features(golden_vectors: Path):
    plans = [json.loads(line)["plan"] for line in golden_vectors.read_text("utf-8").splitlines()]
    pairs = [(plan, travelled(plan, PLAN)) for plan in plans if is_allowed(plan)]
    assert (len(pairs), len(plans)) == (ALLOWED, 60)
    assert [plan["plan_id"] for plan, read in pairs if features_of(read) != features_of(plan)] == []


def is_allowed(plan: Document) -> bool:
    """Whether a producer can send this plan: some of the recorded ones lack a field or hold a wrong type."""
    try:
        travelled(plan, PLAN)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("field", ["risk_score", "complexity_score"])
def test_a_null_stays_a_null(field: str):
    plan = wire_plan(reviewed_opinions(1)[0][0]["cognitive_plan"]) | {field: None}
    assert travelled(plan, PLAN)[field] is None


def test_a_field_that_the_schema_does_not_know_is_refused():
    plan = wire_plan(reviewed_opinions(1)[0][0]["cognitive_plan"])
    with pytest.raises(ValueError, match="risk_band_x"):
        travelled(plan | {"risk_band_x": "low"}, PLAN)


def test_opinions_and_plans_from_the_wire_result_in_the_same_dataset(database: Database[Document]):
    opinions, reviews = reviewed_opinions(30)
    put(database, opinions=opinions, feedback=reviews)
    stored = assembled(database)
    for collection in ("specialist_opinions", "specialist_feedback"):
        database[collection].delete_many({})
    plans = [travelled(wire_plan(one["cognitive_plan"]), PLAN) for one in opinions]
    put(
        database,
        opinions=[travelled(wire_opinion(one), OPINION) for one in opinions],
        plans=[{"plan_id": plan["plan_id"], "plan_data": plan} for plan in plans],
        feedback=reviews,
    )
    pd.testing.assert_frame_equal(assembled(database), stored)


def wire_plan(plan: Document) -> Document:
    return {**plan, **NEEDED}


def wire_opinion(opinion: Document) -> Document:
    """The opinion as its specialist sends it: complete, and without the plan."""
    plan = opinion["cognitive_plan"]
    sent: datetime = plan["created_at"]
    return {
        **{name: opinion[name] for name in ("opinion_id", "specialist_type", "plan_id", "recommendation")},
        "specialist_version": "1.0.9",
        "intent_id": plan["intent_id"],
        "correlation_id": "correlation",
        "confidence_score": 0.8,
        "risk_score": 0.1,
        "reasoning_summary": "it fits",
        "reasoning_factors": [{"factor_name": "risk", "weight": 1.0, "score": 0.1, "description": "low"}],
        "explainability_token": "token",
        "explainability": {
            "method": "heuristic",
            "feature_importances": [{"feature_name": "risk_score", "importance": 0.4, "contribution": "positive"}],
            "model_version": "3",
            "model_type": "sklearn",
        },
        "evaluated_at": sent,
        "processing_time_ms": 120,
        "metadata": {"model_source": "ml_model", "model_version": "3"},
        "hash": "0" * 64,
    }
