"""Who gave an opinion: which version of a model, or what answered instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nhm_assets.domain.text import is_string
from nhm_assets.domain.times import parse_time
from nhm_assets.feedback.opinion_scores import SCORE_FIELDS, scores_of

_BY_MODEL: Final = "ml_model"
OPINION_FIELDS: Final = (
    "opinion_id",
    "plan_id",
    "specialist_type",
    "evaluated_at",
    "created_at",
    "opinion.metadata.model_source",
    "opinion.metadata.model_version",
    "explainability.model_version",
    *SCORE_FIELDS,
)
"""Fields of an opinion document that say who gave it, when, and with which scores."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What an opinion document says of itself.

    Attributes:
        at: when it was given; None if it does not say so.
        version: number of the registered version that it names; None if none gave it, or if it names none.
        fallback: what gave it instead of a model; None if a model gave it, or if it does not say so.
        confidence, risk: NaN if they are missing or no numbers.
    """

    opinion_id: str
    plan_id: str
    at: datetime | None
    version: str | None
    fallback: str | None
    confidence: float
    risk: float


def opinion_of(document: Mapping[str, Any]) -> Opinion:
    """The opinion in a document of either schema version."""
    version, fallback = _origin(document)
    confidence, risk, _ = scores_of(document)
    at = parse_time(document.get("evaluated_at")) or parse_time(document.get("created_at"))
    return Opinion(
        opinion_id=_text(document.get("opinion_id")),
        plan_id=_text(document.get("plan_id")),
        at=at,
        version=version,
        fallback=fallback,
        confidence=confidence,
        risk=risk,
    )


def _origin(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The version that gave the opinion, or what did so instead."""
    metadata = _map(_map(document.get("opinion")).get("metadata"))
    source, version = metadata.get("model_source"), metadata.get("model_version")
    if is_string(source) and source and source != _BY_MODEL:
        return None, source
    if version is None:
        # Opinions of earlier releases say it only there.
        version = _map(document.get("explainability")).get("model_version")
    return _number(version), None


def _number(version: object) -> str | None:
    """The number of a registered version; None for anything else, such as the 0 of heuristics."""
    text = version.strip() if is_string(version) else str(version) if type(version) is int else ""
    return str(int(text)) if text.isascii() and text.isdecimal() and len(text) < 19 and int(text) > 0 else None


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if is_string(value) else ""
