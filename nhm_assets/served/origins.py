"""Who gave an opinion: which version of a model, or what answered instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from nhm_assets.domain.ab_records import MODEL_B
from nhm_assets.domain.opinion_origin import ORIGIN_FIELDS, metadata_of, origin_of
from nhm_assets.domain.text import is_string
from nhm_assets.domain.times import parse_time
from nhm_assets.feedback.opinion_scores import SCORE_FIELDS, scores_of

OPINION_FIELDS: Final = (
    "opinion_id",
    "plan_id",
    "specialist_type",
    "evaluated_at",
    "created_at",
    "opinion.metadata.ab_test_variant",
    *ORIGIN_FIELDS,
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
        by_challenger: whether the challenger of an A/B test gave it, by the mark of ABTestingSpecialist.
    """

    opinion_id: str
    plan_id: str
    at: datetime | None
    version: str | None
    fallback: str | None
    confidence: float
    risk: float
    by_challenger: bool = False


def opinion_of(document: Mapping[str, Any]) -> Opinion:
    """The opinion in a document of either schema version."""
    version, fallback = origin_of(document)
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
        by_challenger=metadata_of(document).get("ab_test_variant") == MODEL_B,
    )


def _text(value: object) -> str:
    return value if is_string(value) else ""
