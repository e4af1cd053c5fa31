"""Feedback without opinions, for tests that only count it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pymongo.database import Database

from tests.support.documents import feedback, put

_COUNTED = iter(range(10**9))


def review(
    database: Database[dict[str, Any]], count: int, at: datetime | str | None, specialist: str = "technical"
) -> None:
    """Add this much feedback with the same time."""
    review_at(database, [at] * count, specialist)


def review_at(database: Database[dict[str, Any]], times: Iterable[Any], specialist: str = "technical") -> None:
    """Add a feedback document for each of these times."""
    added = [feedback(f"counted-{next(_COUNTED)}", specialist=specialist, submitted_at=time) for time in times]
    put(database, feedback=added)


def spread(count: int, start: datetime, end: datetime) -> list[datetime]:
    """Evenly spread times, the first at the start, none at the end."""
    step = (end - start) / count
    return [start + step * number for number in range(count)]


def ago(now: datetime, **time: float) -> datetime:
    return now - timedelta(**time)
