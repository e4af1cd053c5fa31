"""Years of decisions, and how many of them were wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.gate_evidence import Question
from benchmarks.gate_rules import FIRST_RULES, FirstGate
from benchmarks.gate_world import PRECISION, RECALL, Truth, World

WEEKS_NOT_COUNTED = 4
WEEKS_OF_A_YEAR = 52


class Size(NamedTuple):
    """How far below a threshold, or below the champion's F1, a promoted version truly is at least."""

    below_threshold: float
    below_champion: float


MILD, SERIOUS = Size(0.02, 0.01), Size(0.05, 0.03)
WELL_ABOVE = 0.02
"""A candidate whose precision and recall are truly that much above the line should not be held."""


class Estimate(NamedTuple):
    """A mean over histories, and its standard error."""

    mean: float
    error: float


def estimate(values: np.ndarray) -> Estimate:
    """The mean of values of independent histories."""
    return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))


@dataclass(frozen=True)
class History:
    """What one gate decided; arrays of shape (tries, histories).

    Attributes:
        periods: at whose ends a candidate was judged.
        champion: the period of the version that was in Production then.
        promoted: whether the candidate replaced it.
    """

    periods: list[int]
    champion: np.ndarray
    promoted: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """The period of the version that is in Production at the end; (histories,)."""
        return np.where(self.promoted[-1], self.periods[-1], self.champion[-1])


def decide(world: World, gates: Mapping[str, FirstGate], *, every: int = 1) -> dict[str, History]:
    """Let each gate decide at the end of every period, or of every second one, and so on."""
    periods = [period for period in range(world.first, world.periods) if (period + 1 - world.first) % every == 0]
    served = {name: [np.full_like(world.histories, world.first - 1)] for name in gates}
    decisions: dict[str, list[np.ndarray]] = {name: [] for name in gates}
    for period in periods:
        question = Question(world, period)
        for name, gate in gates.items():
            before, tries_back = served[name], gate.rules.reference_weeks * world.per_week // every
            champion, reference = before[-1], before[max(0, len(before) - 1 - tries_back)]
            promoted = gate(question.evidence(champion, reference))
            decisions[name].append(promoted)
            before.append(np.where(promoted, period, champion))
    return {name: History(periods, np.array(served[name][:-1]), np.array(decisions[name])) for name in gates}


@dataclass(frozen=True)
class Mistakes:
    """Which decisions were wrong, by what the world knows; arrays of shape (tries, histories).

    Attributes:
        weeks: from the start of the year to each try; (tries,).
        mild, serious: bad promotions.
        below_champion: the mild ones whose true F1 is too far below the champion's.
        wrong_holds: candidates that should have been promoted.
        promoted: all promotions.
        served_f1: true F1 of the champion.
    """

    weeks: np.ndarray
    mild: np.ndarray
    serious: np.ndarray
    below_champion: np.ndarray
    wrong_holds: np.ndarray
    promoted: np.ndarray
    served_f1: np.ndarray

    def per_year(self, name: str) -> Estimate:
        """How many per year; the first weeks are not counted."""
        counted = self.weeks > WEEKS_NOT_COUNTED
        weeks = self.weeks[-1] - WEEKS_NOT_COUNTED
        return estimate(getattr(self, name)[counted].sum(axis=0) * WEEKS_OF_A_YEAR / weeks)

    def mean_served_f1(self, start: int | None = None) -> Estimate:
        """The mean over the year, without the first weeks; with `start`, over the histories with that start alone."""
        served = self.served_f1[self.weeks > WEEKS_NOT_COUNTED].mean(axis=0)
        return estimate(served if start is None else served[start::2])

    def after_poison(self, name: str, poisoned: np.ndarray) -> Estimate:
        """How many among the candidates that learned the poisoned week: of that week, and of the four after it."""
        weeks_after = self.weeks[:, None] - (poisoned + 1)
        return estimate((getattr(self, name) & (weeks_after > -1) & (weeks_after <= 4)).sum(axis=0))


def mistakes(world: World, history: History) -> Mistakes:
    """What was wrong with the decisions."""
    candidate = [world.truth(np.full_like(world.histories, period), period) for period in history.periods]
    champion_f1 = np.array(
        [world.truth(born, period).f1 for born, period in zip(history.champion, history.periods, strict=True)]
    )
    truth = Truth(*(np.array(values) for values in zip(*candidate, strict=True)))
    deserved = (truth.precision >= PRECISION + WELL_ABOVE) & (truth.recall >= RECALL + WELL_ABOVE)
    return Mistakes(
        weeks=np.array([world.weeks_since_start(period) for period in history.periods]),
        mild=history.promoted & _is_bad(truth, champion_f1, MILD),
        serious=history.promoted & _is_bad(truth, champion_f1, SERIOUS),
        below_champion=history.promoted & (truth.f1 < champion_f1 - MILD.below_champion),
        wrong_holds=~history.promoted & deserved & (truth.f1 >= champion_f1),
        promoted=history.promoted,
        served_f1=champion_f1,
    )


def _is_bad(truth: Truth, champion_f1: np.ndarray, size: Size) -> np.ndarray:
    thresholds = (PRECISION, RECALL, FIRST_RULES.f1_threshold)
    below = [value < least - size.below_threshold for value, least in zip(truth, thresholds, strict=True)]
    return np.logical_or.reduce(below) | (truth.f1 < champion_f1 - size.below_champion)


def slide(world: World, history: History) -> np.ndarray:
    """True F1, on the last day, of the best version that ever served, minus that of the one that serves; by history."""
    period = history.periods[-1]
    served = np.unique(history.champion, axis=0)
    best = np.max([world.truth(born, period).f1 for born in (*served, history.last)], axis=0)
    return best - world.truth(history.last, period).f1
