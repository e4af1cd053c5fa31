"""When feedback was submitted: what counts as a time, and how much feedback lies in a window."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.partitions import Window
from nhm_assets.domain.specialists import Specialist
from nhm_assets.domain.text import is_string

if TYPE_CHECKING:
    from pymongo.collection import Collection

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_COUNT_TIMEOUT_S: Final = 4
"""Limit of each query. A tick sends two for all specialists, else two for each, and has 60 s for everything."""

_NOT_UTC: Final = r"^(.{0,10}$|.{10}[^T]|.{11}.*[+-](?!00(:?00)?$))"
"""Matches strings that may be earlier or later than they sort: with an offset, with another character than T before the
hour, or without an hour. MongoDB evaluates it on the index."""


def parse_time(value: object) -> datetime | None:
    """A BSON date, or an ISO-8601 string (no offset means UTC), as UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(value.strip()) if is_string(value) else value
        if not isinstance(moment, datetime):
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def microseconds(moment: datetime) -> int:
    """The time as a whole number of microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def lies_in(window: Window, value: object) -> bool:
    """Whether this is a time in the window."""
    moment = parse_time(value)
    return moment is not None and window.start <= moment < window.end


def count_feedback(
    collection: "Collection[dict[str, Any]]",
    specialist: Specialist,
    window: Window,
    *,
    without: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Number of feedback documents of a specialist that were submitted in the window.

    It reads ranges of the index on (specialist_type, submitted_at), so the cost depends only on what is in the window.
    The server counts dates. Strings sort nearly like their times, so those of the window are read and parsed, and those
    around it that an offset may move into it.

    Args:
        collection: of the feedback.
        specialist: whose feedback counts.
        window: when it was submitted.
        without: conditions on documents that do not count, as `left_out` gives them.
    """
    counts = {"$nor": list(without)} if without else {}
    of_specialist = {"specialist_type": str(specialist), **counts}
    dates = {**of_specialist, "submitted_at": {"$gte": window.start, "$lt": window.end}}
    strings = {**of_specialist, "$or": [{"submitted_at": one} for one in _strings_near(window)]}
    count = collection.count_documents(dates, maxTimeMS=_COUNT_TIMEOUT_S * 1000)
    documents = collection.find(strings, {"_id": 0, "submitted_at": 1}).max_time_ms(_COUNT_TIMEOUT_S * 1000)
    times = (parse_time(document["submitted_at"]) for document in documents)
    return count + sum(1 for time in times if time is not None and window.start <= time < window.end)


def count_feedback_of(
    collection: "Collection[dict[str, Any]]",
    windows: Mapping[str, Window],
    *,
    without: Sequence[Mapping[str, Any]] = (),
) -> dict[str, int]:
    """What `count_feedback` counts, of many specialists in two queries: specialist -> number of documents.

    A document with a list of specialists, which such a query finds too, counts for none of them.
    """
    counts = {"$nor": list(without)} if without else {}
    limit_ms, known = _COUNT_TIMEOUT_S * 1000, dict.fromkeys(windows, 0)
    # Most specialists learned last in the same weekly run: one range for all of them, not hundreds.
    names: dict[Window, list[str]] = {}
    for name, window in windows.items():
        names.setdefault(window, []).append(str(name))
    dates = [
        {"specialist_type": {"$in": of_it}, "submitted_at": {"$gte": window.start, "$lt": window.end}}
        for window, of_it in names.items()
    ]
    grouped = {"$group": {"_id": "$specialist_type", "count": {"$sum": 1}}}
    for group in collection.aggregate([{"$match": {"$or": dates, **counts}}, grouped], maxTimeMS=limit_ms):
        if is_string(group["_id"]):
            known[group["_id"]] = group["count"]
    strings = [
        {"specialist_type": {"$in": of_it}, "submitted_at": one}
        for window, of_it in names.items()
        for one in _strings_near(window)
    ]
    fields = {"_id": 0, "specialist_type": 1, "submitted_at": 1}
    for document in collection.find({"$or": strings, **counts}, fields).max_time_ms(limit_ms):
        name = document["specialist_type"]
        if is_string(name):
            known[name] += lies_in(windows[name], document["submitted_at"])
    return known


def _strings_near(window: Window) -> list[dict[str, str]]:
    """Ranges of strings that may be times in the window: from its first hour on, and of the day before."""
    day = timedelta(days=1)
    before, hour = (window.start - day).strftime("%Y-%m-%d"), window.start.strftime("%Y-%m-%dT%H")
    return [
        {"$gte": hour, "$lt": (window.end + 2 * day).strftime("%Y-%m-%d")},
        {"$gte": before, "$lt": hour, "$regex": _NOT_UTC},
    ]
