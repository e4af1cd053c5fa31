"""Opinions and their reviews as columns: as Python objects, a million of them take a gigabyte, here a tenth of that."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from hashlib import blake2b
from math import isnan
from typing import Final

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.text import is_unreadable
from nhm_assets.feedback.accepted import microseconds
from nhm_assets.feedback.rules import Feedback
from nhm_assets.served.origins import Opinion
from nhm_assets.served.serving_times import ServingTimes

UNTOLD: Final = 0
"""Instead of a version: nothing tells which one gave the opinion, as between a promotion and its restart."""
_NO_VERSION: Final = -1
"""Instead of a version: none gave the opinion, or it has no confidence."""
_KEY_SIZE: Final = 16
_AT_ONCE: Final = 1000


def key_of(opinion_id: str) -> bytes:
    """What stands for an id of any length."""
    return blake2b(opinion_id.encode("utf-8", "surrogatepass"), digest_size=_KEY_SIZE).digest()


def version_of(opinion: Opinion, times: ServingTimes) -> int:
    """Number of the version that gave an opinion, or what is there instead of one."""
    if opinion.fallback is not None or opinion.version is None or isnan(opinion.confidence):
        return _NO_VERSION
    return UNTOLD if opinion.at is None or times.in_gap(opinion.at) else int(opinion.version)


class Texts:
    """Texts in UTF-8, one after another."""

    def __init__(self) -> None:
        self._content, self._ends = bytearray(), array("q", [0])

    def append(self, text: str) -> None:
        """Add a text, which is UTF-8."""
        self._content += text.encode()
        self._ends.append(len(self._content))

    def __getitem__(self, number: int) -> bytes:
        """One of them, encoded: these are in the same order as the texts."""
        return bytes(self._content[self._ends[number] : self._ends[number + 1]])

    def distinct(self) -> Iterator[str]:
        """Each once, in order."""
        import pyarrow as pa
        import pyarrow.compute as pc

        # Arrow reads them where they are.
        ends, content = pa.py_buffer(memoryview(self._ends)), pa.py_buffer(memoryview(self._content))
        found = pc.unique(pa.LargeStringArray.from_buffers(len(self._ends) - 1, ends, content))
        ordered = found.take(pc.sort_indices(found))
        for start in range(0, len(ordered), _AT_ONCE):
            yield from ordered.slice(start, _AT_ONCE).to_pylist()


@dataclass(frozen=True)
class Answers:
    """What a version said of plans, in the order in which its opinions were read; shape (n,) each."""

    keys: np.ndarray
    confidence: np.ndarray
    risk: np.ndarray

    def __len__(self) -> int:
        """Number of opinions."""
        return len(self.keys)


@dataclass(frozen=True)
class Opinions:
    """Opinions of a week, whoever gave them.

    Attributes:
        versions: see `version_of`.
        plan_ids: of those that MongoDB can be asked for.
    """

    answers: Answers
    versions: np.ndarray
    plan_ids: Texts

    def given_by(self, version: str | None) -> Answers:
        """Those that this version gave."""
        given = self.versions == int(version) if version else np.zeros(len(self.versions), "bool")
        return Answers(self.answers.keys[given], self.answers.confidence[given], self.answers.risk[given])


class OpinionsRead:
    """Opinions that are being read."""

    def __init__(self, times: ServingTimes) -> None:
        """No opinion yet.

        Args:
            times: which version served when.
        """
        self._times = times
        self._keys, self._plan_ids = bytearray(), Texts()
        self._versions, self._scores = array("q"), array("d")

    def kept(self, opinions: Iterable[Opinion]) -> Iterator[Opinion]:
        """The same opinions; their columns stay here."""
        for one in opinions:
            self._keys += key_of(one.opinion_id)
            self._versions.append(version_of(one, self._times))
            self._scores.extend((one.confidence, one.risk))
            if one.plan_id and not is_unreadable(one.plan_id):
                self._plan_ids.append(one.plan_id)
            yield one

    def columns(self) -> Opinions:
        """All opinions so far."""
        scores = np.frombuffer(self._scores, "float64").reshape(-1, 2)
        answers = Answers(_keys(self._keys), *scores.T)
        return Opinions(answers, np.frombuffer(self._versions, "int64"), self._plan_ids)


@dataclass(frozen=True)
class Reviews:
    """Opinions that people reviewed, by the time of the review; shape (n,) each.

    Attributes:
        keys: of the opinions.
        submitted_at: of the reviews, in microseconds since 1970.
        labels: what people said, as classes of the dataset.
        versions: see `version_of`.
        confidence, risk: as the opinions say.
    """

    keys: np.ndarray
    submitted_at: np.ndarray
    labels: np.ndarray
    versions: np.ndarray
    confidence: np.ndarray
    risk: np.ndarray

    def __len__(self) -> int:
        """Number of reviews."""
        return len(self.keys)

    @property
    def approved(self) -> np.ndarray:
        """Whether people approved each."""
        return self.labels == APPROVE

    def where(self, chosen: np.ndarray) -> "Reviews":
        """Those that are chosen, by a mask or by their places."""
        return Reviews(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def approvals(self) -> dict[bytes, bool]:
        """Key of an opinion -> whether people approved it."""
        keys = self.keys.tobytes()
        places = range(0, len(keys), _KEY_SIZE)
        return {keys[at : at + _KEY_SIZE]: bool(one) for at, one in zip(places, self.approved, strict=True)}


class ReviewsRead:
    """Feedback that is being read, with the opinions that it is about."""

    def __init__(self) -> None:
        """No feedback yet."""
        self._keys, self._feedback_ids = bytearray(), Texts()
        self._submitted_at, self._labels, self._versions = array("q"), array("b"), array("q")
        self._ratings, self._scores = array("d"), array("d")

    def append(self, feedback: Feedback, opinion: Opinion, version: int) -> None:
        """Add a feedback."""
        self._keys += key_of(feedback.opinion_id)
        self._feedback_ids.append(feedback.feedback_id)
        self._submitted_at.append(microseconds(feedback.submitted_at))
        self._labels.append(feedback.label)
        self._ratings.append(feedback.human_rating)
        self._versions.append(version)
        self._scores.extend((opinion.confidence, opinion.risk))

    def newest(self) -> Reviews:
        """The newest feedback on each opinion, then that with the greatest id; see `rules.newest_per_opinion`."""
        scores = np.frombuffer(self._scores, "float64").reshape(-1, 2)
        submitted_at, versions = np.frombuffer(self._submitted_at, "int64"), np.frombuffer(self._versions, "int64")
        reviews = Reviews(_keys(self._keys), submitted_at, np.frombuffer(self._labels, "int8"), versions, *scores.T)
        order = self._in_time(submitted_at)
        # The last of each opinion, which is the first from behind.
        _, places = np.unique(reviews.keys[order[::-1]], return_index=True)
        return reviews.where(order[np.sort(len(order) - 1 - places)])

    def _in_time(self, submitted_at: np.ndarray) -> np.ndarray:
        """The places of all feedback in the order of time; of equal times, in that of ids, labels and ratings."""
        order = np.argsort(submitted_at, kind="stable")
        same = np.flatnonzero(np.diff(submitted_at[order]) == 0)
        ends = np.diff(same) > 1
        firsts, lasts = same[np.append(True, ends)[: len(same)]], same[np.append(ends, True)[: len(same)]]
        for first, last in zip(firsts, lasts + 2, strict=True):
            order[first:last] = sorted(order[first:last], key=self._rank)
        return order

    def _rank(self, number: int) -> tuple[bytes, int, float, bytes]:
        key = bytes(self._keys[number * _KEY_SIZE : (number + 1) * _KEY_SIZE])
        return self._feedback_ids[number], self._labels[number], self._ratings[number], key


def _keys(content: bytearray) -> np.ndarray:
    return np.frombuffer(content, f"S{_KEY_SIZE}")
