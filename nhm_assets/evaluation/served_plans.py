"""The plans that a specialist was asked about: the features that it stored, and what it said of them.

Every read has an end: who asks can do without the answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.opinion_origin import ORIGIN_FIELDS, origin_of
from nhm_assets.domain.stored_values import stored_values
from nhm_assets.domain.text import is_string, is_unreadable
from nhm_assets.domain.times import parse_time

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

_LARGEST: Final = float(np.finfo("float32").max)
"""Trees cast to float32."""
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_SAID_FIELDS: Final = ("confidence_score", "risk_score", "recommendation")


@dataclass(frozen=True)
class ServedPlans:
    """Plans that a specialist saw, newest first.

    Attributes:
        plan_ids: one per row.
        features: the 26 features; those that the specialist stored as null are NaN, which models accept.
        unusable: number of documents left out, because they lack a feature: the specialist's model failed there, too.
    """

    plan_ids: list[str]
    features: pd.DataFrame
    unusable: int


@dataclass(frozen=True)
class Opinion:
    """What the specialist said about a plan.

    Attributes:
        model_version: of the model that gave it; None if no model did.
    """

    opinion_id: str | None
    model_version: str | None
    recommendation: str | None
    confidence: float | None
    risk: float | None


def read_plans(collection: "Collection[Document]", *, since: datetime, limit: int, timeout_s: float) -> ServedPlans:
    """Read the newest plans that were stored at or after a time.

    Features that the platform computed are left out: no specialist ever saw them.

    Raises:
        PyMongoError: the server refuses, or does not answer in time.
    """
    import pymongo

    # Ours carry the name of their extractor; those of the specialists do not.
    query = {"timestamp": {"$gte": since.timestamp()}, "extractor": {"$exists": False}}
    fields = {"_id": 0, "plan_id": 1, "features": 1}
    with pymongo.timeout(timeout_s):
        documents = list(collection.find(query, fields, sort=[("timestamp", pymongo.DESCENDING)], limit=limit))
    plan_ids, rows = [], []
    for document in documents:
        plan_id, values = document.get("plan_id"), feature_values(document.get("features"))
        if _is_text(plan_id) and values is not None:
            plan_ids.append(plan_id)
            rows.append(values)
    frame = pd.DataFrame(np.array(rows, dtype="float64").reshape(-1, len(FEATURE_NAMES)), columns=list(FEATURE_NAMES))
    return ServedPlans(plan_ids, frame, len(documents) - len(rows))


def feature_values(features: object) -> tuple[float, ...] | None:
    """The 26 values of stored features in column order, null as NaN; None if one is missing or no number."""
    values = stored_values(features)
    if values is None:
        return None
    # Nearly all documents: a hundred thousand of them take seconds less. A NaN in front compares with nothing.
    if set(map(type, values)) == {float} and min(values) >= -_LARGEST and max(values) <= _LARGEST:
        return values
    numbers = tuple(float("nan") if value is None else value for value in values)
    return tuple(map(float, numbers)) if all(map(_is_usable, numbers)) else None


def _is_usable(value: object) -> bool:
    # NaN is not larger than anything.
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > _LARGEST


def _is_text(value: object) -> TypeGuard[str]:
    """Whether this is text that can be sent back to the server."""
    return is_string(value) and value != "" and not is_unreadable(value)


def read_opinions(
    collection: "Collection[Document]", specialist: str, plan_ids: Iterable[str], *, timeout_s: float
) -> dict[str, Opinion]:
    """Read the newest opinion of a specialist on each of these plans, by plan.

    Raises:
        PyMongoError: the server refuses, or does not answer in time.
    """
    import pymongo

    asked = set(plan_ids)
    query = {"specialist_type": specialist, "plan_id": {"$in": list(asked)}}
    names = ("plan_id", "opinion_id", "specialist_type", "evaluated_at", *ORIGIN_FIELDS)
    fields = dict.fromkeys((*names, *_SAID_FIELDS, *(f"opinion.{name}" for name in _SAID_FIELDS)), 1)
    with pymongo.timeout(timeout_s):
        documents = list(collection.find(query, fields))
    newest: dict[str, tuple[datetime, Document]] = {}
    for document in documents:
        plan_id = document.get("plan_id")
        # What the server calls equal may differ: a collation ignores case, an array equals each of its elements.
        if document.get("specialist_type") != specialist or not is_string(plan_id) or plan_id not in asked:
            continue
        time = parse_time(document.get("evaluated_at")) or _LONG_AGO
        if plan_id not in newest or time >= newest[plan_id][0]:
            newest[plan_id] = time, document
    return {plan_id: opinion_of(document) for plan_id, (_, document) in newest.items()}


def opinion_of(document: Mapping[str, Any]) -> Opinion:
    """What an opinion document says, at its top (schema version 1) or inside `opinion` (2)."""
    nested = document.get("opinion")
    inside: Mapping[str, Any] = nested if isinstance(nested, Mapping) else {}
    said = {name: document.get(name) if inside.get(name) is None else inside[name] for name in _SAID_FIELDS}
    version, _ = origin_of(document)
    opinion_id, recommendation = document.get("opinion_id"), said["recommendation"]
    return Opinion(
        opinion_id=opinion_id if _is_text(opinion_id) else None,
        model_version=version,
        recommendation=recommendation if _is_text(recommendation) else None,
        confidence=_score(said["confidence_score"]),
        risk=_score(said["risk_score"]),
    )


def _score(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= 1 else None  # type: ignore[arg-type]
