"""When feedback was submitted: what counts as a time, and how many documents are newer than one."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.specialists import Specialist

if TYPE_CHECKING:
    from pymongo.collection import Collection

_LONGEST_COUNT_S: Final = 10


def parse_time(value: object) -> datetime | None:
    """A BSON date, or an ISO-8601 string (no offset means UTC), as UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def count_feedback(collection: "Collection[dict[str, Any]]", specialist: Specialist, window: Window) -> int:
    """How many feedback documents of a specialist were submitted in the window.

    Two ranges of the index on (specialist_type, submitted_at), so the cost follows what is in the window:
    dates are counted by the server; of strings, whose order is nearly that of their times, those of the
    window and of a day around it are looked at.
    """
    dates = {"specialist_type": specialist.value, "submitted_at": {"$gte": window.start, "$lt": window.end}}
    day = timedelta(days=1)
    first, last = ((window.start - day).strftime("%Y-%m-%d"), (window.end + 2 * day).strftime("%Y-%m-%d"))
    strings = {"specialist_type": specialist.value, "submitted_at": {"$gte": first, "$lt": last}}
    count = collection.count_documents(dates, maxTimeMS=_LONGEST_COUNT_S * 1000)
    found = collection.find(strings, {"_id": 0, "submitted_at": 1}).max_time_ms(_LONGEST_COUNT_S * 1000)
    times = (parse_time(document["submitted_at"]) for document in found)
    return count + sum(1 for time in times if time is not None and window.start <= time < window.end)
