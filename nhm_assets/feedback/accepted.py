"""Feedback that passed the rules for a document alone, as columns: its order, and the newest of each opinion.

A million documents as objects would take half a gigabyte, and a loop over them most of the time of a dataset.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVAL, REVIEWER, SCRIPTED
from nhm_assets.domain.times import microseconds
from nhm_assets.feedback.packed_texts import packed
from nhm_assets.feedback.rules import Feedback

if TYPE_CHECKING:
    import pyarrow as pa

GIVEN_BY: Final = (APPROVAL, REVIEWER, SCRIPTED)
"""Who gave a feedback, as the columns number it: in the order of the words."""


class Part(NamedTuple):
    """Some feedback, one after the other.

    Attributes:
        times: of the feedback, in microseconds since 1970.
        feedback_ids: their ids.
        labels: the class of each recommendation.
        ratings: of the opinions, 0 to 1.
        opinion_ids: the opinions that they are on.
        plan_ids: the plans that they name; null where they name none.
        provenances: who gave them, by number in `GIVEN_BY`.
        object_ids: the `_id` of their documents, twelve bytes each.
        other_ids: the `_id` of those documents where it is something else, by position.
    """

    times: np.ndarray
    feedback_ids: "pa.LargeStringArray"
    labels: np.ndarray
    ratings: np.ndarray
    opinion_ids: "pa.LargeStringArray"
    plan_ids: "pa.LargeStringArray"
    provenances: np.ndarray
    object_ids: np.ndarray
    other_ids: dict[int, Any]

    def document_id(self, position: int) -> Any:
        """The `_id` of the document at this position."""
        from bson import ObjectId

        if position in self.other_ids:
            return self.other_ids[position]
        return ObjectId(self.object_ids[position].tobytes())

    def at(self, order: np.ndarray) -> "Part":
        """The feedback at these positions."""
        import pyarrow as pa

        chosen = pa.array(order)
        place_of = {position: place for place, position in enumerate(order.tolist())} if self.other_ids else {}
        other_ids = {place_of[position]: one for position, one in self.other_ids.items() if position in place_of}
        return Part(
            self.times[order],
            self.feedback_ids.take(chosen),
            self.labels[order],
            self.ratings[order],
            self.opinion_ids.take(chosen),
            self.plan_ids.take(chosen),
            self.provenances[order],
            self.object_ids[order],
            other_ids,
        )


def part_of(feedback: Sequence[Feedback]) -> Part:
    """Documents that were judged one by one, as columns."""
    from bson import ObjectId

    ids = [one.document_id for one in feedback]
    are_usual = [type(one) is ObjectId for one in ids]
    none = bytes(12)
    usual = b"".join(one.binary if is_usual else none for one, is_usual in zip(ids, are_usual, strict=True))
    return Part(
        np.array([microseconds(one.submitted_at) for one in feedback], "int64"),
        packed(one.feedback_id for one in feedback),
        np.array([one.label for one in feedback], "int64"),
        np.array([one.human_rating for one in feedback], "float64"),
        packed(one.opinion_id for one in feedback),
        packed(one.plan_id for one in feedback),
        np.array([GIVEN_BY.index(one.provenance) for one in feedback], "u1"),
        np.frombuffer(usual, "V12"),
        {position: ids[position] for position, is_usual in enumerate(are_usual) if not is_usual},
    )


def in_order_of_time(parts: Sequence[Part]) -> Part:
    """All of them by time; of equal times by id, label, rating, opinion, plan and provenance."""
    whole = _concatenated(parts)

    def keys(tied: np.ndarray) -> Iterable[tuple[Any, ...]]:
        some = whole.at(tied)
        plan_ids = (plan_id or "" for plan_id in some.plan_ids.to_pylist())
        texts = some.feedback_ids.to_pylist(), some.opinion_ids.to_pylist(), plan_ids
        labels, ratings, provenances = some.labels.tolist(), some.ratings.tolist(), some.provenances.tolist()
        return zip(texts[0], labels, ratings, texts[1], texts[2], provenances, strict=True)

    return whole.at(_order(whole.times, keys))


def _concatenated(parts: Sequence[Part]) -> Part:
    import pyarrow as pa

    if not parts:
        return part_of([])
    first, other_ids = 0, {}
    for part in parts:
        other_ids.update({first + position: one for position, one in part.other_ids.items()})
        first += len(part.times)
    return Part(
        np.concatenate([part.times for part in parts]),
        pa.concat_arrays([part.feedback_ids for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.ratings for part in parts]),
        pa.concat_arrays([part.opinion_ids for part in parts]),
        pa.concat_arrays([part.plan_ids for part in parts]),
        np.concatenate([part.provenances for part in parts]),
        np.concatenate([part.object_ids for part in parts]),
        other_ids,
    )


def _order(times: np.ndarray, keys: Callable[[np.ndarray], Iterable[Any]]) -> np.ndarray:
    """The positions by time; equal times, which are rare, by key."""
    order = np.argsort(times, kind="stable")
    is_tie = np.diff(times[order]) == 0
    tied = np.flatnonzero(np.append(is_tie, False) | np.insert(is_tie, 0, False))
    if len(tied):
        key_of = dict(zip(order[tied].tolist(), keys(order[tied]), strict=True))
        for run in np.split(tied, np.flatnonzero(np.diff(times[order[tied]])) + 1):
            order[run] = sorted(order[run].tolist(), key=key_of.__getitem__)
    return order


class Accepted:
    """Feedback in the order of its times, and the opinions that it is on, numbered in this order.

    Attributes:
        feedback: the columns.
        opinions: the number of the opinion that each is on.
        opinion_ids: the opinions, by number.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.feedback = in_order_of_time(parts)
        encoded = self.feedback.opinion_ids.dictionary_encode()
        self.opinions = encoded.indices.to_numpy().astype("int64")
        self.opinion_ids: pa.LargeStringArray = encoded.dictionary

    def __len__(self) -> int:
        return len(self.opinions)

    def newest_per_opinion(self, is_usable: np.ndarray, *, min_rating: float) -> np.ndarray:
        """The position of one feedback per opinion, in order: the newest, then the one with the greatest id.

        Feedback rated below `min_rating` is left out first. Equal copies count once. If several are still left, they
        differ only in label or rating: the greatest is taken, so that the order of reading decides nothing.

        Args:
            is_usable: which feedback counts at all.
            min_rating: the lowest rating that counts.
        """
        left = np.flatnonzero(is_usable & (self.feedback.ratings >= min_rating))
        last = np.full(len(self.opinion_ids), -1)
        # Of equal indices, NumPy assigns the last.
        last[self.opinions[left]] = np.arange(len(left))
        return np.sort(left[self._first_of_its_copies(left)[last[last >= 0]]])

    def _first_of_its_copies(self, left: np.ndarray) -> np.ndarray:
        """Where the equal copies of each begin: they follow each other, and differ only in plan and provenance."""
        one = self.feedback
        columns = one.times[left], self.opinions[left], one.labels[left], one.ratings[left]
        is_copy = np.logical_and.reduce([np.diff(column) == 0 for column in columns])
        for place in np.flatnonzero(is_copy).tolist():
            before, after = (one.feedback_ids[position].as_py() for position in left[place : place + 2].tolist())
            is_copy[place] = before == after
        return np.maximum.accumulate(np.where(np.insert(is_copy, 0, False), 0, np.arange(len(left))))
