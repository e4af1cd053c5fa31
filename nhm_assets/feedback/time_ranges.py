"""The ranges of the index on feedback in which a time of a window, or something that is no time, may be."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.partitions import Window

if TYPE_CHECKING:
    from pymongo.client_session import ClientSession
    from pymongo.collection import Collection

_TYPES_WITHOUT_TIME: Final = (
    "number",
    "bool",
    "object",
    "objectId",
    "timestamp",
    "binData",
    "regex",
    "dbPointer",
    "javascript",
    "javascriptWithScope",
    "minKey",
    "maxKey",
)
"""BSON types that are not a time. Each uses a range of the index. Arrays are not among them: see `odd_times`."""

_DOUBTFUL_TIME: Final = (
    r"^(?!(?!0000|0001-01-01|9999-12-31)"
    r"\d{4}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$)"
)
"""Matches strings that may not be a time, or whose time may be in another year than their first four digits, or in
none from 1 to 9999. It uses a lookahead because MongoDB evaluates a negated regex on the documents, not on the
index."""

_ANY_TEXT: Final = r"^[\s\S]?"
"""Matches every string but those that are not UTF-8: on those MongoDB evaluates no regex."""


def may_lie_in(window: Window) -> list[Any]:
    """Ranges of one index: dates in the window, strings of its years, and everything that may be no time at all.

    A string's offset moves its date by less than a day, which matters only at the turn of a year.
    """
    day = timedelta(days=1)
    years = str((window.start - day).year), str((window.end + day).year + 1)
    return [
        {"$gte": window.start, "$lt": window.end},
        {"$gte": years[0], "$lt": years[1]},
        {"$regex": _DOUBTFUL_TIME},
        *({"$type": kind} for kind in _TYPES_WITHOUT_TIME),
    ]


def odd_times(collection: "Collection[Any]", specialist: str, session: "ClientSession | None") -> list[Any]:
    """Conditions that find arrays and strings that are not UTF-8, where there are any.

    No range of the index holds them alone, so MongoDB reads all feedback of the specialist to find them.
    """
    conditions: list[Any] = []
    if _may_have_arrays(collection, specialist):
        conditions.append({"$type": "array"})
    strings = {"specialist_type": specialist, "submitted_at": {"$gte": ""}}
    readable = {"specialist_type": specialist, "submitted_at": {"$gte": "", "$regex": _ANY_TEXT}}
    if collection.count_documents(strings, session=session) != collection.count_documents(readable, session=session):
        conditions.append({"$gte": "", "$not": {"$regex": _ANY_TEXT}})
    return conditions


def _may_have_arrays(collection: "Collection[Any]", specialist: str) -> bool:
    """Whether the index has seen an array as a time, by the server's own plan; yes if there is no index."""
    from pymongo.errors import OperationFailure

    query = {"find": collection.name, "filter": {"specialist_type": specialist, "submitted_at": {"$type": "array"}}}
    try:
        plan = collection.database.command("explain", query, verbosity="queryPlanner")
    except OperationFailure:
        return True
    paths = list(_values(plan, "multiKeyPaths"))
    return not paths or any(of_index.get("submitted_at") for of_index in paths)


def _values(plan: Any, name: str) -> "list[Any]":
    if isinstance(plan, list):
        return [value for one in plan for value in _values(one, name)]
    if not isinstance(plan, dict):
        return []
    own = [plan[name]] if name in plan else []
    return own + [value for inner in plan.values() for value in _values(inner, name)]
