"""What many opinions say: the plan that each is on, and its scores, from the bytes of their documents."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from nhm_assets.domain.text import is_string
from nhm_assets.feedback.bson_columns import MAP, MISSING, NULL, STRING, Answers, Column, read_fields
from nhm_assets.feedback.column_values import ascii_texts, looked_up, numbers
from nhm_assets.feedback.found import Found
from nhm_assets.feedback.opinion_scores import FIELDS, LARGEST_SCORE, RECOMMENDATIONS, scores_of
from nhm_assets.feedback.raw_plans import plans_of

OPINION_FIELDS: Final = ("plan_id", "cognitive_plan", "opinion", *FIELDS)
"""The fields at the top of an opinion document that are read."""
_NUMBER_OF: Final = {name: float(number) for number, name in enumerate(RECOMMENDATIONS)}


class Opinions(NamedTuple):
    """Some opinions, in the same order everywhere.

    Attributes:
        plan_ids: opinion id -> the plan that it names; None if it names none.
        scores: what each says of its plan, opinions x 3.
        plans: opinion id -> its `cognitive_plan`, where that was read: raw where it is a map.
    """

    plan_ids: Mapping[str, str | None]
    scores: np.ndarray
    plans: Mapping[str, Any]


def opinions_in(found: Found, *, with_plans: bool) -> Opinions:
    """The opinions of one answer."""
    columns, answers = found.columns, found.answers
    named = columns["plan_id"].kinds == STRING
    plan_ids: list[Any] = ascii_texts(answers, columns["plan_id"], found.odd)
    for row in np.flatnonzero(~named).tolist():
        plan_ids[row] = None
    scores = _scores(answers, columns, found.odd)
    for row in np.flatnonzero(found.odd).tolist():
        document = found.document(row)
        plan_id = document.get("plan_id")
        plan_ids[row], scores[row] = plan_id if is_string(plan_id) else None, scores_of(document)
    rows = list(found.row_of.values())
    return Opinions(
        dict(zip(found.row_of, map(plan_ids.__getitem__, rows), strict=True)),
        scores[rows],
        plans_of(found, "cognitive_plan") if with_plans else {},
    )


def _scores(answers: Answers, columns: Mapping[str, Column], odd: np.ndarray) -> np.ndarray:
    """The scores inside `opinion`, and where that says nothing those at the top."""
    rows = np.flatnonzero(columns["opinion"].kinds == MAP)
    scores = _scores_at(answers, columns, odd)
    if len(rows):
        inside, strange = read_fields(answers, columns["opinion"].places[rows], FIELDS)
        own = _scores_at(answers, inside, strange)
        says_nothing = np.column_stack([inside[field].is_of(NULL, MISSING) for field in FIELDS])
        scores[rows] = np.where(says_nothing, scores[rows], own)
        odd[rows[strange]] = True
    return scores


def _scores_at(answers: Answers, fields: Mapping[str, Column], odd: np.ndarray) -> np.ndarray:
    *numeric, recommendation = FIELDS
    scores = np.empty((len(odd), len(FIELDS)))
    for place, field in enumerate(numeric):
        values, is_number = numbers(answers, fields[field], with_bools=False)
        scores[:, place] = np.where(is_number & (np.abs(values) <= LARGEST_SCORE), values, np.nan)
    odd |= ~fields[recommendation].is_of(STRING, NULL, MISSING)
    scores[:, -1] = looked_up(answers, fields[recommendation], _NUMBER_OF, np.nan, odd)
    return scores
