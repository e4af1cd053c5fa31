"""Who gave a feedback: a reviewer, somebody who approved a plan, or a script that made up feedback."""

import re
from collections.abc import Mapping
from typing import Any, Final

from nhm_assets.domain.dataset_words import APPROVAL, REVIEWER, SCRIPTED
from nhm_assets.domain.selection import Selection
from nhm_assets.domain.text import is_string

SCRIPTED_MARKS: Final = ("auto_generated", "balanced_dataset")
SCRIPTED_NOTES: Final = ("[AUTO]", "[HUMAN]")
APPROVALS: Final = "approval_service"
_NO_ARRAY: Final = {"$not": {"$type": "array"}}

PROVENANCE_FIELDS: Final = (
    "feedback_source",
    "feedback_notes",
    "metadata.source",
    *SCRIPTED_MARKS,
    *(f"metadata.{mark}" for mark in SCRIPTED_MARKS),
)
"""Fields of a feedback document that say who gave it, besides its id."""


def provenance_of(document: Mapping[str, Any], scripted_prefixes: tuple[str, ...]) -> str:
    """`scripted`, `approval` or `reviewer`. The scripts mark what they make in one of several ways."""
    metadata = document.get("metadata")
    places = [document, metadata] if isinstance(metadata, Mapping) else [document]
    for place in places:
        for mark in SCRIPTED_MARKS:
            if place.get(mark) is True:
                return SCRIPTED
    if _begins(document.get("feedback_id"), scripted_prefixes) or _begins(
        document.get("feedback_notes"), SCRIPTED_NOTES
    ):
        return SCRIPTED
    sources = document.get("feedback_source"), places[-1].get("source")
    return APPROVAL if APPROVALS in sources else REVIEWER


def left_out(selection: Selection) -> list[dict[str, Any]]:
    """Conditions by which MongoDB finds feedback that the selection leaves out; none if it leaves out nothing.

    They are cheap on documents that an index has found, and agree with `provenance_of`.
    """
    conditions: list[dict[str, Any]] = []
    if not selection.include_scripted:
        # In a query, a condition on a field also holds for the items of an array.
        is_true = {"$eq": True, "$not": {"$type": "array"}}
        for mark in SCRIPTED_MARKS:
            conditions += [{mark: is_true}, {"$and": [{f"metadata.{mark}": is_true}, {"metadata": _NO_ARRAY}]}]
        conditions += _beginnings("feedback_id", selection.scripted_prefixes)
        conditions += _beginnings("feedback_notes", SCRIPTED_NOTES)
    if selection.min_rating > 0:
        conditions.append({"human_rating": {"$lt": selection.min_rating, **_NO_ARRAY}})
    return conditions


def _beginnings(field: str, prefixes: tuple[str, ...]) -> list[dict[str, Any]]:
    if not prefixes:
        return []
    return [{field: {"$regex": f"^(?:{'|'.join(map(re.escape, prefixes))})", **_NO_ARRAY}}]


def _begins(value: object, prefixes: tuple[str, ...]) -> bool:
    return is_string(value) and value.startswith(prefixes)
