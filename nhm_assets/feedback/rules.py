"""Which feedback counts, each document alone; which one of an opinion counts is in accepted.py.

If a document breaks several rules, the reason that comes first in `Reason` is recorded. `judged_together.py` lets usual
documents pass by the same rules, many at once.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from bson.decimal128 import Decimal128

from nhm_assets.domain.dataset_schema import LABELS, REVIEWER
from nhm_assets.domain.partitions import Window
from nhm_assets.domain.text import is_string, is_unreadable
from nhm_assets.domain.times import parse_time

_NEEDED_TEXTS: Final = ("feedback_id", "opinion_id", "submitted_at", "human_recommendation")


class Reason(StrEnum):
    """Why a feedback document is rejected. The first reason that applies counts, in this order."""

    UNREADABLE_DOCUMENT = "unreadable_document"
    MISSING_FEEDBACK_ID = "missing_feedback_id"
    INVALID_SUBMITTED_AT = "invalid_submitted_at"
    INVALID_RATING = "invalid_rating"
    UNKNOWN_RECOMMENDATION = "unknown_recommendation"
    UNKNOWN_OPINION = "unknown_opinion"
    MISSING_PLAN = "missing_plan"
    INVALID_PLAN = "invalid_plan"


class Feedback(NamedTuple):
    """A feedback document that passed the rules for a document alone."""

    submitted_at: datetime
    feedback_id: str
    label: int
    human_rating: float
    opinion_id: str
    plan_id: str | None
    document_id: Any
    provenance: str = REVIEWER


class Rejection(NamedTuple):
    """A feedback document that cannot become a row. One without a usable time belongs to no window."""

    document_id: Any
    reason: Reason
    has_time: bool = True


def parse_rating(value: object) -> float | None:
    """A number from 0 to 1; None for anything else. Strings and booleans are not numbers."""
    if isinstance(value, Decimal128):
        decimal = value.to_decimal()
        value = float(decimal) if decimal.is_finite() else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= 1 else None


def parse_recommendation(value: object) -> int | None:
    """The class of a recommendation, ignoring outer blanks and case; None if it is not one of the three."""
    return LABELS.get(value.strip().lower()) if is_string(value) else None


def judge(document: Mapping[str, Any], window: Window, provenance: str = REVIEWER) -> Feedback | Rejection | None:
    """Apply the rules for this document alone; None if its time lies outside the window."""
    document_id = document["_id"]
    submitted_at = parse_time(document.get("submitted_at"))
    if submitted_at is not None and not window.start <= submitted_at < window.end:
        return None
    has_time = submitted_at is not None
    if _needs_unreadable_text(document):
        return Rejection(document_id, Reason.UNREADABLE_DOCUMENT, has_time)
    feedback_id = document.get("feedback_id")
    if not is_string(feedback_id) or not feedback_id:
        return Rejection(document_id, Reason.MISSING_FEEDBACK_ID, has_time)
    if submitted_at is None:
        return Rejection(document_id, Reason.INVALID_SUBMITTED_AT, has_time)
    rating = parse_rating(document.get("human_rating"))
    if rating is None:
        return Rejection(document_id, Reason.INVALID_RATING)
    label = parse_recommendation(document.get("human_recommendation"))
    if label is None:
        return Rejection(document_id, Reason.UNKNOWN_RECOMMENDATION)
    opinion_id = document.get("opinion_id")
    if not is_string(opinion_id):
        return Rejection(document_id, Reason.UNKNOWN_OPINION)
    plan_id = document.get("plan_id")
    own_plan_id = plan_id if is_string(plan_id) and not is_unreadable(plan_id) else None
    return Feedback(submitted_at, feedback_id, label, rating, opinion_id, own_plan_id, document_id, provenance)


def _needs_unreadable_text(document: Mapping[str, Any]) -> bool:
    for name in _NEEDED_TEXTS:
        value = document.get(name)
        # Nearly all texts are ASCII, and a million documents are judged one by one.
        if type(value) is str and not value.isascii() and is_unreadable(value):
            return True
    return False
