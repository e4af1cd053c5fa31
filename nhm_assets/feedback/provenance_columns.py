"""Who gave each of many feedback documents, from their bytes: `provenance_of` by columns."""

from collections.abc import Mapping

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVAL, REVIEWER, SCRIPTED
from nhm_assets.domain.provenance import APPROVALS, SCRIPTED_MARKS, SCRIPTED_NOTES
from nhm_assets.feedback.accepted import GIVEN_BY
from nhm_assets.feedback.bson_columns import MAP, MISSING, NULL, STRING, Answers, Column, read_fields
from nhm_assets.feedback.column_values import begins, is_text, is_true

FIELDS = ("feedback_source", "feedback_notes", "metadata", *SCRIPTED_MARKS)
"""The fields at the top of a document that say it, besides its id."""


def provenances(
    answers: Answers, columns: Mapping[str, Column], scripted_prefixes: tuple[str, ...], odd: np.ndarray
) -> np.ndarray:
    """The number in `GIVEN_BY` of each. A source of an unusual type makes its document odd."""
    inside = _inside(answers, columns["metadata"], odd)
    is_scripted = begins(answers, columns["feedback_id"], scripted_prefixes)
    is_scripted |= begins(answers, columns["feedback_notes"], SCRIPTED_NOTES)
    is_approval = np.zeros(len(odd), "bool")
    for place, source in ((columns, "feedback_source"), (inside, "source")):
        for mark in SCRIPTED_MARKS:
            is_scripted |= is_true(answers, place[mark])
        odd |= ~place[source].is_of(STRING, NULL, MISSING)
        is_approval |= is_text(answers, place[source], APPROVALS)
    by = np.where(is_approval, GIVEN_BY.index(APPROVAL), GIVEN_BY.index(REVIEWER))
    return np.where(is_scripted, GIVEN_BY.index(SCRIPTED), by).astype("u1")


def _inside(answers: Answers, metadata: Column, odd: np.ndarray) -> dict[str, Column]:
    """The fields of the maps in `metadata`; missing where it is no map."""
    rows = np.flatnonzero(metadata.kinds == MAP)
    fields, strange = read_fields(answers, metadata.places[rows], ("source", *SCRIPTED_MARKS))
    odd[rows[strange]] = True
    inside = {}
    for name, column in fields.items():
        inside[name] = Column(np.full(len(odd), MISSING, "u1"), np.zeros(len(odd), "int64"))
        inside[name].kinds[rows], inside[name].places[rows] = column.kinds, column.places
    return inside
