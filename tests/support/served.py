"""What a specialist stores about the plans that it is asked about: features and opinions."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from tests.support.documents import opinion

Document = dict[str, Any]


def stored_features(plan_id: str, *, timestamp: float, seed: int = 1, **values: Any) -> Document:
    """A features document as specialists write it: JSON, with more numbers than a model learns."""
    drawn = np.random.default_rng(seed).random(len(FEATURE_NAMES))
    numbers = dict(zip(FEATURE_NAMES, drawn.tolist(), strict=True)) | {"max_norm": 4.4, "has_risk_score": 1.0} | values
    return {"plan_id": plan_id, "features": json.dumps({"aggregated_features": numbers}), "timestamp": timestamp}


def served_plans(count: int, *, timestamp: float, name: str = "served") -> list[Document]:
    """Features of many plans; the last one is the newest."""
    return [stored_features(f"{name}-{number}", timestamp=timestamp + number, seed=number) for number in range(count)]


def said(plan_ids: Sequence[str], *, confidence: float, version: str | None, **fields: Any) -> list[Document]:
    """Opinions of a specialist on these plans, by a model's version or, without one, by its heuristics."""
    origin = {"model_source": "ml_model", "model_version": version} if version else {"model_source": "heuristics"}
    inside = {"confidence_score": confidence, "risk_score": 0.1, "recommendation": "review_required"}
    return [
        opinion(
            plan_id,
            plan_id=plan_id,
            cognitive_plan=None,
            schema_version=2,
            opinion=inside | {"metadata": origin},
            **fields,
        )
        for plan_id in plan_ids
    ]


def slow_view(database: Any, collection: str, *, seconds_per_document: float) -> str:
    """A view of a collection that takes long to read; its name."""
    body = f"function() {{ sleep({seconds_per_document * 1000}); return true }}"
    wait = {"$function": {"body": body, "args": [], "lang": "js"}}
    name = f"slow_{collection}"
    database.create_collection(name, viewOn=collection, pipeline=[{"$match": {"$expr": wait}}])
    return name
