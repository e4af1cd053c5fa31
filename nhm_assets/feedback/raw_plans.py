"""Plans that stay as MongoDB sent them, since most of them need no decoding."""

from typing import TYPE_CHECKING, Any, NamedTuple

from nhm_assets.feedback.bson_columns import MAP, Answers
from nhm_assets.feedback.found import Found

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


def plans_of(found: Found, field: str) -> dict[str, Any]:
    """Id -> the plan in this field, raw where it is a map; anything but a plan where it is something else."""
    column, options = found.columns[field], found.options
    odd, is_map, places = found.odd.tolist(), (column.kinds == MAP).tolist(), column.places.tolist()
    plans: dict[str, Any] = {}
    for name, row in found.row_of.items():
        if odd[row]:
            plans[name] = found.document(row).get(field)
        else:
            plans[name] = RawPlan(found.answers, places[row], options) if is_map[row] else None
    return plans
