"""Opinions and their reviews as columns: as Python objects, a million of them take a gigabyte, here a tenth of that."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from math import isnan
from typing import Final, Self

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVE
from nhm_assets.domain.text import is_unreadable
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

    @classmethod
    def of(cls, opinions: Sequence[Opinion], times: ServingTimes, submitted_at: np.ndarray, labels: np.ndarray) -> Self:
        """Reviews of these opinions, one of each.

        Args:
            opinions: what is reviewed.
            times: which version served when.
            submitted_at: of the reviews, in microseconds.
            labels: what people said.
        """
        return cls(
            _keys(b"".join(key_of(one.opinion_id) for one in opinions)),
            submitted_at,
            labels.astype("int8"),
            np.array([version_of(one, times) for one in opinions], "int64"),
            np.array([one.confidence for one in opinions], "float64"),
            np.array([one.risk for one in opinions], "float64"),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All of them, one after another; there is at least one part."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

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


def _keys(content: bytes | bytearray) -> np.ndarray:
    return np.frombuffer(content, f"S{_KEY_SIZE}")
