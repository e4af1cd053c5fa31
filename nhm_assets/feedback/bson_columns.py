"""Fields of many BSON documents at once, as arrays of types and places, without decoding the documents.

Documents that one program wrote have the same fields in the same order. So all of them are read together, a field at a
time, by the layout of the first. Those with another layout are read together in the next pass. What is unusual, such as
a type whose size is not written down, is *odd*: it is left to a decoder.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

DOUBLE: Final = 0x01
STRING: Final = 0x02
MAP: Final = 0x03
ARRAY: Final = 0x04
OBJECT_ID: Final = 0x07
BOOL: Final = 0x08
DATE: Final = 0x09
NULL: Final = 0x0A
INT32: Final = 0x10
INT64: Final = 0x12
MISSING: Final = 0x00
"""No type of BSON: it ends a document."""

SIZE: Final = Struct("<i")
"""The bytes of a document or an array begin with their number."""

_MOST_LAYOUTS: Final = 16
_MOST_ITEMS: Final = 256
_MOST_FIELDS: Final = 200
_LONGEST_NAME: Final = 100
_PADDING: Final = bytes(256)
"""Names and texts are read in words of eight bytes, also beyond the end of the last document."""

_FIXED_SIZES: Final = {
    DOUBLE: 8,
    STRING: 4,
    MAP: 0,
    ARRAY: 0,
    0x05: 5,
    0x06: 0,
    OBJECT_ID: 12,
    BOOL: 1,
    DATE: 8,
    NULL: 0,
    INT32: 4,
    0x11: 8,
    INT64: 8,
    0x13: 16,
    0x7F: 0,
    0xFF: 0,
}
"""Type -> bytes of a value, or those besides the ones that it counts itself. Others are odd: among them are old types
that decode to texts, too."""
_COUNTED: Final = (STRING, MAP, ARRAY, 0x05)

_SIZES: Final = np.full(256, -1, "int64")
_SIZES[list(_FIXED_SIZES)] = list(_FIXED_SIZES.values())
_COUNTS: Final = np.zeros(256, "int64")
_COUNTS[list(_COUNTED)] = 1
_MASKS: Final = np.array([(1 << 8 * size) - 1 for size in range(9)], "<u8")
_REFERENCE: Final = b"$ref\0"
"""A map with this field may decode to something that is no map."""


class Answers:
    """Documents as MongoDB sent them, one after the other, and views that read a number at any place of them."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.data = b"".join([*parts, _PADDING])
        self.bytes = self._view("u1")
        self.pairs = self._view("<u2")
        self.int32 = self._view("<i4")
        self.int64 = self._view("<i8")
        self.double = self._view("<f8")
        self.words = self._view("<u8")

    def _view(self, kind: str) -> np.ndarray:
        size = np.dtype(kind).itemsize
        return np.ndarray((len(self.data) - size + 1,), kind, self.data, strides=(1,))

    def starts(self) -> np.ndarray:
        """Where each document starts."""
        starts, at, end = [], 0, len(self.data) - len(_PADDING)
        while at < end:
            starts.append(at)
            at += SIZE.unpack_from(self.data, at)[0]
        return np.array(starts, "int64")

    @cached_property
    def latin1(self) -> str:
        """Everything as one text, a character for each byte. Parts that are ASCII are what they would decode to."""
        return self.data.decode("latin-1")

    def decoded(self, starts: Iterable[int], options: "CodecOptions[dict[str, Any]]") -> list[dict[str, Any]]:
        """The documents that start there."""
        from bson import decode_all

        return decode_all(b"".join(self.data[start : start + int(self.int32[start])] for start in starts), options)

    def text_words(self, places: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
        """The first 8 x count bytes of each text as numbers, with zeros after its end."""
        words = np.empty((len(places), count), "<u8")
        for number in range(count):
            words[:, number] = self.words[places + 8 * number] & _MASKS[np.clip(sizes - 8 * number, 0, 8)]
        return words

    def matches(self, places: np.ndarray, name: bytes) -> np.ndarray:
        """Whether these bytes are at each place."""
        fits = [np.ones(len(places), "bool")]
        for offset in range(0, len(name), 8):
            part = name[offset : offset + 8]
            words = self.words[places + offset] & _MASKS[len(part)]
            fits.append(words == np.uint64(int.from_bytes(part, "little")))
        return reduce(np.logical_and, fits)


@dataclass(frozen=True)
class Column:
    """One field of many documents: its type in each, and the place of its value."""

    kinds: np.ndarray
    places: np.ndarray

    def is_of(self, *kinds: int) -> np.ndarray:
        """Whether each value is of one of these types."""
        table = np.zeros(256, "bool")
        table[list(kinds)] = True
        return table[self.kinds]

    def texts(self, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
        """Places and sizes in bytes of the strings; an empty one where there is no string."""
        is_text = self.kinds == STRING
        places = np.where(is_text, self.places + 4, 0)
        return places, np.where(is_text, answers.int32[self.places] - 1, 0)


def read_fields(answers: Answers, starts: np.ndarray, names: Sequence[str]) -> tuple[dict[str, Column], np.ndarray]:
    """These fields of the documents that start there, and which documents are odd. Of equal names the last counts."""
    size = len(starts)
    wanted = {name.encode() + b"\0": Column(np.zeros(size, "u1"), np.zeros(size, "int64")) for name in names}
    odd = np.zeros(size, "bool")
    pending = np.arange(size)
    for _ in range(_MOST_LAYOUTS):
        if not len(pending):
            break
        layout = _layout(answers, int(starts[pending[0]]))
        if layout is None:
            odd[pending[0]] = True
            pending = pending[1:]
            continue
        rows, found = _walk(answers, starts, pending, layout, wanted.keys())
        for name, kinds, places in found:
            wanted[name].kinds[rows] = kinds
            wanted[name].places[rows] = places
        pending = pending[~np.isin(pending, rows, assume_unique=True)]
    odd[pending] = True
    return {name[:-1].decode(): column for name, column in wanted.items()}, odd


def _layout(answers: Answers, start: int) -> list[bytes] | None:
    """The names of the fields of one document, each with the byte that ends it; None if it is odd."""
    names: list[bytes] = []
    at = start + 4
    while kind := answers.data[at]:
        name = answers.data[at + 1 : answers.data.index(0, at + 1) + 1]
        if kind not in _FIXED_SIZES or name == _REFERENCE or len(name) > _LONGEST_NAME or len(names) == _MOST_FIELDS:
            return None
        names.append(name)
        at += 1 + len(name)
        at += _FIXED_SIZES[kind] + (int(answers.int32[at]) if kind in _COUNTED else 0)
    return names


def _walk(
    answers: Answers, starts: np.ndarray, rows: np.ndarray, layout: Sequence[bytes], wanted: Iterable[bytes]
) -> tuple[np.ndarray, list[tuple[bytes, np.ndarray, np.ndarray]]]:
    """The rows with this layout, and name, types and places of each wanted field in them."""
    found: list[tuple[bytes, np.ndarray, np.ndarray]] = []
    at = starts[rows] + 4
    for name in layout:
        kinds, places, at, fits = _values(answers, at, name)
        if name in wanted:
            found.append((name, kinds, places))
        if not fits.all():
            rows, at = rows[fits], at[fits]
            found = [(name, kinds[fits], places[fits]) for name, kinds, places in found]
    ends = answers.bytes[at] == MISSING
    if not ends.all():
        rows, found = rows[ends], [(name, kinds[ends], places[ends]) for name, kinds, places in found]
    return rows, found


def _values(answers: Answers, at: np.ndarray, name: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Types, places and ends of the values of the fields there, and which fields have this name and a known size."""
    kinds = answers.bytes[at]
    places = at + (1 + len(name))
    fits = answers.matches(at + 1, name)
    kind = int(kinds[0])
    if kind in _FIXED_SIZES and (kinds == kind).all():
        # Nearly always, because one program wrote them.
        ends = places + _FIXED_SIZES[kind]
        return kinds, places, ends + answers.int32[places] if kind in _COUNTED else ends, fits
    sizes = _SIZES[kinds]
    return kinds, places, places + sizes + answers.int32[places] * _COUNTS[kinds], fits & (sizes >= 0)


def read_items(answers: Answers, starts: np.ndarray) -> tuple[np.ndarray, Column, np.ndarray]:
    """The items of the arrays that start there.

    Returns:
        The array that each item is in, in order; the items; and which arrays are odd. Those have only some of them.
    """
    odd = np.zeros(len(starts), "bool")
    rows, at = np.arange(len(starts)), starts + 4
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for position in range(_MOST_ITEMS):
        goes_on = answers.bytes[at] != MISSING
        rows, at = rows[goes_on], at[goes_on]
        if not len(rows):
            break
        name = b"%d\0" % position
        kinds, places, at, fits = _values(answers, at, name)
        if not fits.all():
            odd[rows[~fits]] = True
            rows, at, kinds, places = rows[fits], at[fits], kinds[fits], places[fits]
        parts.append((rows, kinds, places))
    odd[rows] |= answers.bytes[at] != MISSING
    owners, kinds, places = map(np.concatenate, zip(*parts, strict=True)) if parts else (rows, rows, rows)
    order = np.argsort(owners, kind="stable")
    return owners[order], Column(kinds[order], places[order]), odd
