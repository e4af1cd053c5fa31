"""Values of every BSON type, at any depth, from a seed: what a document may hold, not what it should."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, encode
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from tests.support.documents import WEEK_END, Document

BAD_BYTES: Final = "~BAD~"
"""Five characters that `as_stored` replaces with bytes that are not UTF-8."""

SYMBOL: Final = "~SYM~"
"""Five characters that begin a string which `as_stored` turns into a symbol, a type that pymongo cannot write."""

_NOT_UTF8: Final = b"\xff\xfe\xc3(\x80"

_TEXTS: Final = (
    "",
    " ",
    "approve",
    " Reject\n",
    "REVIEW_REQUIRED",
    "conditional",
    "technical",
    "\u0000",
    "ünïcödé \U0001f41d",
    "a" * 3000,
    BAD_BYTES,
    f"opinion-{BAD_BYTES}",
    f"2026-03-01T00:00:00{BAD_BYTES}",
    f"1999-01-01{BAD_BYTES}",
    f"{SYMBOL}approve",
    "2026-03-01T12:00:00Z",
    "2026-03-01",
    "1999-01-01T00:00:00Z",
    "2026-02-30",
    "0000-01-01",
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31",
    "20260301T120000Z",
    "2026-W10-3",
    "2026-03-01T24:00:00Z",
    "2026-03-01T12:00:00.123456789Z",
    "+12026-03-01",
    "[" * 100,
    '{"aggregated_features": 1}',
    "$where",
)
_NUMBERS: Final = (
    0,
    1,
    -1,
    0.5,
    -0.0,
    2**31,
    Int64(1),
    2**63 - 1,
    -(2**63),
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    Decimal128("0.5"),
    Decimal128("1E+6144"),
    Decimal128("NaN"),
    Decimal128("sNaN"),
    Decimal128("-Infinity"),
    True,
    False,
)
_OTHERS: Final = (
    None,
    b"",
    b"\xff" * 20,
    Binary(b"abc", 128),
    Binary.from_uuid(UUID(int=7)),
    ObjectId("0" * 24),
    Regex("^a", "i"),
    Regex("(", ""),
    Regex(BAD_BYTES, "ix"),
    Code("approve"),
    Code("2026-03-01"),
    Code(BAD_BYTES),
    Code("opinion-1", {"x": [1, {"y": 2}]}),
    Timestamp(0, 0),
    Timestamp(2**32 - 1, 7),
    MinKey(),
    MaxKey(),
    DBRef("collection", ObjectId("1" * 24)),
    DBRef("collection", [1, {"a": 2}], "database"),
    {"$ref": 1, "$id": 2},
    {"$ref": "a", "$id": 2, "$db": 3},
    WEEK_END - timedelta(days=3),
    WEEK_END,
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    DatetimeMS(2**62),
    DatetimeMS(-(2**62)),
)
_KEYS: Final = ("a", "", "plan_id", "tasks", "$gt", "a.b", "0", "ключ", f"k{BAD_BYTES}", "aggregated_features", "_id")


class Strange:
    """A source of strange values; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        """Any value: three quarters are plain, the others contain more values."""
        kinds: list[Callable[[], Any]] = [
            lambda: self.rng.choice(_TEXTS),
            lambda: self.rng.choice(_NUMBERS),
            lambda: self.rng.choice(_OTHERS),
            lambda: self.container(depth + 1),
        ]
        return self.rng.choice(kinds)()

    def container(self, depth: int = 1) -> Any:
        """A list or a map; rarely one of a hundred levels."""
        if self.rng.random() < 0.02:
            return self.nested(self.rng.choice([20, 59, 60, 61, 100, 170]))
        size = self.rng.choice([0, 1, 2, 3]) if depth < 4 else 0
        if self.rng.random() < 0.5:
            return [self.value(depth) for _ in range(size)]
        return {self.rng.choice(_KEYS): self.value(depth) for _ in range(size)}

    def nested(self, levels: int) -> Any:
        """Lists and maps within each other."""
        value: Any = self.rng.choice(_TEXTS)
        for _ in range(levels - 1):
            value = [value] if self.rng.random() < 0.5 else {"a": value}
        return value

    def spoiled(self, document: Document, *, faults: int) -> Document:
        """The document with some strange values: at its top, or somewhere inside."""
        spoiled = dict(document)
        for _ in range(faults):
            self._spoil(spoiled)
        return spoiled

    def _spoil(self, part: Any) -> None:
        name = self.rng.choice([*part, self.rng.choice(_KEYS)] if isinstance(part, dict) else range(len(part)))
        inner = part.get(name) if isinstance(part, dict) else part[name]
        if isinstance(inner, dict | list) and inner and self.rng.random() < 0.7:
            part[name] = inner = inner.copy()
            self._spoil(inner)
        elif isinstance(part, dict) and self.rng.random() < 0.15:
            part.pop(name, None)
        elif name != "_id":
            part[name] = self.value()


def as_stored(document: Document) -> RawBSONDocument:
    """The document as MongoDB may hold it, though pymongo would not write it."""
    encoded = encode(document).replace(BAD_BYTES.encode(), _NOT_UTF8)
    return RawBSONDocument(_with_symbols(encoded))


def _with_symbols(encoded: bytes) -> bytes:
    """Fields at the top whose text begins with SYMBOL get the type of symbols (0x0E) instead of strings (0x02)."""
    marker = SYMBOL.encode()
    start = encoded.find(marker)
    while start >= 0:
        # type, name, NUL, four bytes of length, text
        name_end = start - 5
        kind = encoded.rfind(b"\x02", 0, name_end)
        encoded = encoded[:kind] + b"\x0e" + encoded[kind + 1 : start] + b"     " + encoded[start + len(marker) :]
        start = encoded.find(marker)
    return encoded
