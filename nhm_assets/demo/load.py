"""Reads documents from files and writes them to MongoDB; repeating it changes nothing."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.times import parse_time
from nhm_assets.feedback.mongo_batches import READ_INDEXES, batches

if TYPE_CHECKING:
    from pymongo.database import Database

    from nhm_assets.settings import Settings

Document = dict[str, Any]

FILES: Final = {
    "opinions": "opinions_collection",
    "feedback": "feedback_collection",
    "plan_features": "features_collection",
    "cognitive_ledger": "plans_collection",
}
"""File name without `.jsonl.gz` -> the setting with the name of its collection."""

_SECONDS_FIELDS: Final = frozenset({"timestamp"})
_NEWEST_BEFORE_NOW: Final = timedelta(seconds=1)


def read_documents(path: Path) -> Iterator[Document]:
    """Documents of a gzipped file in MongoDB Extended JSON, one per line, each with an `_id`.

    The `_id` is derived from the line and from how often it occurred before. So equal lines stay separate documents,
    and the same file always gives the same documents.

    Raises:
        UsageError: the file is missing or not gzip, or a line is not Extended JSON.
    """
    from bson import ObjectId, json_util

    seen: Counter[bytes] = Counter()
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007 - for the error below
                document = json_util.loads(line, json_options=json_util.JSONOptions(tz_aware=True))
                content = hashlib.blake2b(line.encode(), digest_size=12).digest()
                seen[content] += 1
                occurrence = f"{path.name}:{seen[content]}".encode()
                document.setdefault("_id", ObjectId(hashlib.blake2b(content + occurrence, digest_size=12).digest()))
                yield document
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist. A folder of documents needs the files {', '.join(FILES)}, each as .jsonl.gz"
        ) from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as gzipped text: {error}") from error
    except (json.JSONDecodeError, TypeError, ValueError) as error:
        raise UsageError(f"{path}, line {number}: not MongoDB Extended JSON ({error})") from error


def newest_feedback(feedback: Iterable[Document]) -> datetime | None:
    """The newest `submitted_at`, ignoring those that are not a time; None if there is none."""
    times = (parse_time(document.get("submitted_at")) for document in feedback)
    return max((time for time in times if time is not None), default=None)


def shift_to(now: datetime, newest: datetime) -> timedelta:
    """How far to shift all times so that the newest feedback is from just before `now`."""
    return now - _NEWEST_BEFORE_NOW - newest


def shifted(value: Any, by: timedelta, field: str = "") -> Any:
    """The value with every time in it shifted: dates, ISO strings in `submitted_at`, and epoch seconds.

    Types stay: a string remains a string with its own offset. Anything that is not a time is unchanged.
    """
    if isinstance(value, datetime):
        return value + by
    if isinstance(value, dict):
        return {key: shifted(inner, by, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [shifted(inner, by, field) for inner in value]
    if isinstance(value, str) and field == "submitted_at":
        try:
            new = datetime.fromisoformat(value.strip()) + by
        except ValueError:
            return value
        return new.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, float) and field in _SECONDS_FIELDS:
        return value + by.total_seconds()
    return value


def make_indexes(database: "Database[Document]", settings: "Settings") -> None:
    """Create the indexes that the platform's queries need, as the owners of the collections would."""
    for setting, keys in READ_INDEXES.items():
        database[getattr(settings, setting)].create_index(list(keys))


def replace_documents(
    database: "Database[Document]",
    collection: str,
    documents: Iterable[Document],
    *,
    unique: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Write documents; each replaces those with the same `_id` or the same value in the field `unique`.

    Returns:
        The number of documents written.
    """
    written = 0
    for batch in batches(documents):
        replaced: list[Document] = [{"_id": {"$in": [document["_id"] for document in batch]}}]
        if unique:
            replaced.append({unique: {"$in": [document.get(unique) for document in batch]}})
        database[collection].delete_many({"$or": replaced})
        database[collection].insert_many(batch, ordered=False)
        written += len(batch)
        progress(written)
    return written
