"""Documents of MongoDB decoded without the plans in them, which are most of their bytes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from nhm_assets.feedback.bson_columns import MAP, Answers, read_fields

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

Document = dict[str, Any]


class RawPlan(NamedTuple):
    """A map that was not decoded, and where it starts in the answers."""

    answers: Answers
    start: int
    options: "CodecOptions[Document]"

    def decoded(self) -> Any:
        """The plan as if it had been decoded with its document: not every map in a document becomes a map."""
        from bson import decode

        size = int(self.answers.int32[self.start])
        content = b"\x03\0" + self.answers.data[self.start : self.start + size] + b"\0"
        return decode((len(content) + 4).to_bytes(4, "little") + content, self.options)[""]


def documents_with_raw_plans(parts: Iterable[bytes], field: str, options: "CodecOptions[Document]") -> list[Document]:
    """The documents, with a `RawPlan` in this field wherever it is a map.

    Args:
        parts: documents as MongoDB sent them.
        field: name of the field, at the top of each document.
        options: how to decode the rest.
    """
    from bson import decode_all

    answers = Answers(parts)
    data, starts = answers.data, answers.starts()
    columns, odd = read_fields(answers, starts, [field])
    column = columns[field]
    places = [
        place if is_map else None
        for place, is_map in zip(column.places.tolist(), (~odd & (column.kinds == MAP)).tolist(), strict=True)
    ]
    pieces = []
    for start, place in zip(starts.tolist(), places, strict=True):
        end = start + int.from_bytes(data[start : start + 4], "little")
        if place is None:
            pieces.append(data[start:end])
            continue
        before = data[start + 4 : place - len(field) - 2]
        after = data[place + int.from_bytes(data[place : place + 4], "little") : end]
        pieces += (4 + len(before) + len(after)).to_bytes(4, "little"), before, after
    documents = decode_all(b"".join(pieces), options)
    for document, place in zip(documents, places, strict=True):
        if place is not None:
            document[field] = RawPlan(answers, place, options)
    return documents
