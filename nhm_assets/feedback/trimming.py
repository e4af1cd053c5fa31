"""Makes any document that MongoDB returns small and plain enough to be stored inside another one."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from nhm_assets.domain.text import is_string, readable

LARGEST: Final = 64 * 1024
"""Bytes that are kept of one document, roughly. A usual feedback document has one thousand."""

DEEPEST: Final = 60
"""Levels that are kept. MongoDB stores no more than 180, and an entry adds its own."""

_TEXTS: Final = 8
"""One long text takes at most this part of the whole, which leaves room for the other fields."""


def trimmed(document: Mapping[str, Any], *, largest: int = LARGEST) -> tuple[dict[str, Any], bool]:
    """A copy that can be stored, and whether anything was cut off. Bytes that are not UTF-8 are written out.

    Args:
        document: what a collection holds.
        largest: bytes that are kept, roughly.
    """
    trimmer = _Trimmer(largest, DEEPEST, largest // _TEXTS)
    return trimmer.mapping(document, 1), trimmer.has_cut


def encodable(document: Mapping[str, Any]) -> dict[str, Any]:
    """A whole copy in which bytes that are not UTF-8 are written out."""
    unlimited = 1 << 62
    return _Trimmer(unlimited, unlimited, unlimited).mapping(document, 1)


class _Trimmer:
    def __init__(self, left: int, deepest: int, longest_text: int) -> None:
        self._left = left
        self._deepest = deepest
        self._longest_text = longest_text
        self.has_cut = False

    def mapping(self, fields: Mapping[str, Any], depth: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in fields.items():
            if self._left <= 0:
                kept["..."] = self._cut(f"{len(fields)} fields in all")
                break
            # Every document of a collection has these names, and each would keep its own copies in memory.
            short_name = sys.intern(self._text(name))
            kept[short_name] = self._value(value, depth + 1)
        return kept

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping | list) and depth > self._deepest:
            return self._cut("deeper levels")
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, list):
            return self._items(value, depth)
        return self._text(value) if is_string(value) else self._other(value)

    def _items(self, items: list[Any], depth: int) -> list[Any]:
        kept: list[Any] = []
        for item in items:
            if self._left <= 0:
                kept.append(self._cut(f"{len(items)} items in all"))
                break
            kept.append(self._value(item, depth + 1))
        return kept

    def _text(self, text: str) -> str:
        whole = readable(text)
        kept = whole[: max(0, min(self._left, self._longest_text))]
        self._left -= len(kept.encode()) + 8
        return whole if kept == whole else kept + self._cut(f"{len(whole)} characters in all")

    def _other(self, value: Any) -> Any:
        """Numbers, dates, ids, binary data, code: as they are, or as text if that is impossible."""
        from bson import encode

        try:
            size = len(encode({"": value}))
        except (UnicodeEncodeError, ValueError, OverflowError):
            return self._text(repr(value))
        if size > min(self._left, self._longest_text) + 64:
            return self._text(repr(value))
        self._left -= size
        return value

    def _cut(self, what: str) -> str:
        self.has_cut = True
        return f"... (cut off: {what})"
