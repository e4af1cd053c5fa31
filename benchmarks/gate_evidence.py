"""What a gate sees of a candidate: counts of rows by label and by the calls of two models, for each history."""

from dataclasses import dataclass

import numpy as np

from benchmarks.gate_world import TEST, TEST_DAYS, World

LABEL = np.array([0, 0, 0, 0, 1, 1, 1, 1])
"""The label of each of eight cells: 1 if people approve. Cells are numbered by 4 label + 2 candidate + 1 rival."""
CANDIDATE = np.array([0, 0, 1, 1, 0, 0, 1, 1])
RIVAL = np.array([0, 1, 0, 1, 0, 1, 0, 1])
CELLS = len(LABEL)
SEGMENTS = 3


@dataclass(frozen=True)
class Counts:
    """Hits and misses of calls of approve; arrays of shape (histories,)."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """Share of hits among the calls of approve; 0 without any."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> np.ndarray:
        """Share of hits among the rows that people approve; 0 without any."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall; 0 without a hit."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @classmethod
    def of(cls, cells: np.ndarray, calls: np.ndarray) -> "Counts":
        """The counts of one model, `CANDIDATE` or `RIVAL`, in cells of shape (..., 8)."""
        pairs = ((1, 1), (0, 1), (1, 0), (0, 0))
        return cls(*(cells[..., (label == LABEL) & (call == calls)].sum(axis=-1) for label, call in pairs))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


@dataclass(frozen=True)
class Evidence:
    """What is known at the end of one period, for each history.

    Attributes:
        segments: candidate and champion on the test rows, the rows of fold 2 and those of fold 1; (histories, 3, 8).
        fair: candidate and champion on those of all these rows that the champion has not learned; (histories, 8).
        reference_fair: candidate and reference likewise.
        champion_is_reference: whether both are the same version.
        week_is_over: whether this is a closed week.
    """

    segments: np.ndarray
    fair: np.ndarray
    reference_fair: np.ndarray
    champion_is_reference: np.ndarray
    week_is_over: bool

    @property
    def test(self) -> np.ndarray:
        """Candidate and champion on the test rows; (histories, 8)."""
        return self.segments[:, TEST]

    @property
    def pooled(self) -> np.ndarray:
        """Candidate and champion on the test rows and the rows of both folds; (histories, 8)."""
        return self.segments.sum(axis=1)


def difference(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 of the candidate minus F1 of the rival, and its standard error; shape (...,).

    The standard error is the limit of the paired bootstrap: the root of the sum of e^2 over the rows, with
    e = (2yc - F1c (y + c)) / sum(y + c) - (2yk - F1k (y + k)) / sum(y + k), where y, c and k are label and calls.
    """
    parts = [_f1_and_shares(cells, calls) for calls in (CANDIDATE, RIVAL)]
    shares = parts[0][1] - parts[1][1]
    return parts[0][0] - parts[1][0], np.sqrt((cells * shares**2).sum(axis=-1))


def _f1_and_shares(cells: np.ndarray, calls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1, and the share of a row of each cell in its error."""
    f1 = Counts.of(cells, calls).f1
    total = np.maximum((cells * (LABEL + calls)).sum(axis=-1), 1)[..., None]
    return f1, (2 * LABEL * calls - f1[..., None] * (LABEL + calls)) / total


class Question:
    """The rows of one period's candidate, to be compared with any champion and reference."""

    def __init__(self, world: World, period: int) -> None:
        self._world, self._period = world, period
        self._codes = 4 * world.seen(period).astype(np.intp) + 2 * world.candidate_calls(period)

    def evidence(self, champion: np.ndarray, reference: np.ndarray) -> Evidence:
        """The candidate against a champion and a reference; each is the period at whose end it was trained."""
        same = champion == reference
        segments = self._compared(champion)
        return Evidence(
            segments=segments.sum(axis=1),
            fair=segments[:, 1].sum(axis=1),
            reference_fair=(segments if same.all() else self._compared(reference))[:, 1].sum(axis=1),
            champion_is_reference=same,
            week_is_over=self._world.week_is_over(self._period),
        )

    def _compared(self, rival: np.ndarray) -> np.ndarray:
        """The cells of candidate and rival; (histories, whether the rival has not learned the row, 3 segments, 8).

        A version has not learned its test rows, and nothing later.
        """
        segments = self._world.segments
        days = (self._period - rival) * self._world.recipe.period_days + TEST_DAYS
        new = self._world.ages < days[:, None, None]
        cells = self._codes + self._world.calls(rival, self._period) + CELLS * (segments + SEGMENTS * new)
        size, kinds = len(rival), 2 * SEGMENTS * CELLS
        cells[segments < TEST] = kinds
        cells += (kinds + 1) * np.arange(size)[:, None, None]
        counts = np.bincount(cells.ravel(), minlength=size * (kinds + 1)).reshape(size, kinds + 1)
        return counts[:, :kinds].reshape(size, 2, SEGMENTS, CELLS)
