"""Judges many feedback documents at once, from their bytes; those that are unusual in any way one by one."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nhm_assets.domain.dataset_schema import LABELS, SCRIPTED
from nhm_assets.domain.partitions import Window
from nhm_assets.domain.provenance import provenance_of
from nhm_assets.domain.selection import Selection
from nhm_assets.domain.text import is_string
from nhm_assets.domain.times import lies_in, microseconds, parse_time
from nhm_assets.feedback.accepted import GIVEN_BY, Part, part_of
from nhm_assets.feedback.bson_columns import DATE, MISSING, OBJECT_ID, STRING, Answers, Column, read_fields
from nhm_assets.feedback.column_values import ascii_texts, is_text, looked_up, numbers
from nhm_assets.feedback.packed_texts import packed
from nhm_assets.feedback.provenance_columns import FIELDS as PROVENANCE_FIELDS
from nhm_assets.feedback.provenance_columns import provenances
from nhm_assets.feedback.rules import Feedback, Rejection, judge

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

_FIELDS: Final = (
    *("_id", "feedback_id", "opinion_id", "plan_id", "specialist_type"),
    *("submitted_at", "human_rating", "human_recommendation"),
    *PROVENANCE_FIELDS,
)
_TEXTS: Final = ("feedback_id", "opinion_id", "plan_id")
_SCRIPTED: Final = GIVEN_BY.index(SCRIPTED)
_FIRST_MS, _LAST_MS = (
    microseconds(moment.replace(tzinfo=UTC)) // 1000
    for moment in (datetime.min, datetime.max)  # noqa: DTZ901
)
"""Dates outside of these are none in Python."""


class Judged:
    """The outcome of judging feedback documents, batch by batch.

    Attributes:
        accepted: the feedback that passed the rules for a document alone.
        rejected: the rest of what may lie in the window.
        scripted: number of documents in the window that scripts made, whether they count or not.
    """

    def __init__(
        self, specialist: str, window: Window, selection: Selection, options: "CodecOptions[dict[str, Any]]"
    ) -> None:
        self._specialist = specialist
        self._window = window
        self._selection = selection
        self._options = options
        self.accepted: list[Part] = []
        self.rejected: list[Rejection] = []
        self.scripted = 0

    def take(self, answer: bytes) -> None:
        """Judge the documents of one answer. A change of a rule in `rules.judge` is needed here, too."""
        answers = Answers([answer])
        starts = answers.starts()
        columns, odd = read_fields(answers, starts, _FIELDS)
        ours = is_text(answers, columns["specialist_type"], self._specialist)
        texts = {name: ascii_texts(answers, columns[name], odd) for name in _TEXTS}
        times = _times(answers, columns["submitted_at"], odd)
        ratings, is_number = numbers(answers, columns["human_rating"], with_bools=False)
        labels = looked_up(answers, columns["human_recommendation"], LABELS, -1, odd)
        odd |= ~is_number | ~((ratings >= 0) & (ratings <= 1)) | (labels < 0) | (columns["_id"].kinds != OBJECT_ID)
        odd |= (columns["opinion_id"].kinds != STRING) | (columns["feedback_id"].texts(answers)[1] == 0)
        given_by = provenances(answers, columns, self._selection.scripted_prefixes, odd)
        in_window = (times >= microseconds(self._window.start)) & (times < microseconds(self._window.end))
        rows = self._without_scripted(np.flatnonzero(ours & ~odd & in_window), given_by)
        names_plan = columns["plan_id"].kinds == STRING
        self.accepted.append(
            Part(
                times[rows],
                packed([texts["feedback_id"][row] for row in rows.tolist()]),
                labels[rows].astype("int64"),
                ratings[rows],
                packed([texts["opinion_id"][row] for row in rows.tolist()]),
                packed([texts["plan_id"][row] if names_plan[row] else None for row in rows.tolist()]),
                given_by[rows],
                _object_ids(answers, columns["_id"].places[rows]),
                {},
            )
        )
        # What could not be read in columns has no specialist there.
        is_doubtful = odd & (ours | (columns["specialist_type"].kinds == MISSING))
        self._take_alone(answers.decoded(starts[is_doubtful].tolist(), self._options))

    def _without_scripted(self, rows: np.ndarray, given_by: np.ndarray) -> np.ndarray:
        is_scripted = given_by[rows] == _SCRIPTED
        self.scripted += int(is_scripted.sum())
        return rows if self._selection.include_scripted else rows[~is_scripted]

    def _take_alone(self, documents: Iterable[Mapping[str, Any]]) -> None:
        accepted: list[Feedback] = []
        for document in documents:
            specialist = document.get("specialist_type")
            if not (is_string(specialist) and specialist == self._specialist):
                continue
            provenance = provenance_of(document, self._selection.scripted_prefixes)
            if provenance == SCRIPTED and lies_in(self._window, document.get("submitted_at")):
                self.scripted += 1
                # A script's documents would fill the quarantine, and nobody would mend them.
                if not self._selection.include_scripted:
                    continue
            match judge(document, self._window, provenance):
                case Feedback() as feedback:
                    accepted.append(feedback)
                case Rejection() as rejection:
                    self.rejected.append(rejection)
        if accepted:
            self.accepted.append(part_of(accepted))


def _object_ids(answers: Answers, places: np.ndarray) -> np.ndarray:
    """The twelve bytes at each place."""
    return answers.bytes[places[:, None] + np.arange(12)].view("V12").ravel()


def _times(answers: Answers, column: Column, odd: np.ndarray) -> np.ndarray:
    """Dates and texts as microseconds since 1970. What is no time makes its document odd."""
    is_date = column.kinds == DATE
    milliseconds = np.where(is_date, answers.int64[column.places], 0)
    odd |= (milliseconds < _FIRST_MS) | (milliseconds > _LAST_MS)
    times = np.clip(milliseconds, _FIRST_MS, _LAST_MS) * 1000
    is_time = is_date.copy()
    texts = ascii_texts(answers, column, odd) if not is_date.all() else []
    for row in np.flatnonzero((column.kinds == STRING) & ~odd).tolist():
        if (moment := parse_time(texts[row])) is not None:
            times[row], is_time[row] = microseconds(moment), True
    odd |= ~is_time
    return times
