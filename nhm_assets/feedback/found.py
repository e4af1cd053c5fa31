"""Documents of one answer, found by their ids. Some fields are columns, and nothing is decoded that is usual."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nhm_assets.domain.text import is_string
from nhm_assets.feedback.bson_columns import STRING, Answers, read_fields
from nhm_assets.feedback.column_values import ascii_texts, is_text

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

Document = dict[str, Any]


class Found:
    """The documents that MongoDB sent for some ids, row by row.

    What the server calls equal, Python may not: a collation ignores case, an array equals each of its elements. So each
    document is compared with what was asked for. If an id occurs twice, the document with the greatest `_id` counts, so
    that every run gives the same.

    Args:
        parts: documents as MongoDB sent them.
        id_field: the field with the id.
        asked: the ids.
        fields: the fields to read.
        options: how to decode a document.
        exactly: texts that other fields must have.

    Attributes:
        answers: the documents' bytes.
        options: how to decode a document.
        columns: field -> its values.
        odd: which documents have to be decoded, because something about them is unusual.
        row_of: id -> the row of its document.
    """

    def __init__(
        self,
        parts: Iterable[bytes],
        id_field: str,
        asked: Iterable[str],
        fields: Sequence[str],
        options: "CodecOptions[Document]",
        *,
        exactly: Mapping[str, str] | None = None,
    ) -> None:
        exactly = exactly or {}
        self.answers = Answers(parts)
        self._starts = self.answers.starts()
        self.options = options
        self.columns, self.odd = read_fields(self.answers, self._starts, [id_field, *exactly, *fields])
        ids: list[Any] = ascii_texts(self.answers, self.columns[id_field], self.odd)
        counts = self.columns[id_field].kinds == STRING
        for field, text in exactly.items():
            counts &= is_text(self.answers, self.columns[field], text)
        for row in np.flatnonzero(self.odd).tolist():
            document = self.document(row)
            ids[row] = document.get(id_field)
            counts[row] = all(map(is_string, (ids[row], *map(document.get, exactly)))) and all(
                document[field] == text for field, text in exactly.items()
            )
        self.row_of = self._by_id(ids, counts, frozenset(asked))

    def document(self, row: int) -> Document:
        """The document, decoded."""
        return self._decoded[row] if row in self._decoded else self._decode(row)

    @cached_property
    def _decoded(self) -> dict[int, Document]:
        rows = np.flatnonzero(self.odd).tolist()
        return dict(zip(rows, self.answers.decoded(self._starts[rows].tolist(), self.options), strict=True))

    def _decode(self, row: int) -> Document:
        self._decoded[row] = self.answers.decoded([int(self._starts[row])], self.options)[0]
        return self._decoded[row]

    def _by_id(self, ids: Sequence[str], counts: np.ndarray, asked: frozenset[str]) -> dict[str, int]:
        rows = np.flatnonzero(counts).tolist()
        row_of = {ids[row]: row for row in rows}
        if len(row_of) == len(rows) and row_of.keys() <= asked:
            return row_of
        rows = [row for row in rows if ids[row] in asked]
        rows.sort(key=lambda row: repr(self.document(row)["_id"]))
        return {ids[row]: row for row in rows}
