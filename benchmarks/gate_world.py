"""A world with known truth for the gate: rows that people approve or not, and models that call them approve or not.

A model calls a row approve if a latent number z, standard normal, is below a cut. The latents of two models on the same
row correlate by `ROW_CORRELATION`. For rows that people approve, the cut is `Phi^-1(recall) + u + v`; for the others it
is `Phi^-1(false positive rate) - u + v`. So u is ability (0.1 is about 0.035 of F1), and v is leaning towards approve.

Everything is an array over histories: one history is one specialist for one year. Time goes in periods. At the end of
each period, a candidate is trained on the 30 days before. What a gate decides does not change candidates and rows, so
all gates are asked about the same ones.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

WEEK_DAYS, WINDOW_DAYS = 7.0, 30.0
TEST_DAYS = 0.15 * WINDOW_DAYS
"""Days of the test rows, and of the rows of each fold: 15 % of the window."""
TEST, FOLD_2, FOLD_1 = 0, 1, 2
"""The segments of the rows that are asked, the newest first. An older row, and no row, is in segment -1."""
WEEKS_BEFORE = 3
"""Weeks before the first decision: the folds, and the noise of their models, look back that far."""
PRECISION, RECALL = 0.75, 0.70
"""The line: the default thresholds of the gate."""
ROW_CORRELATION = 0.95
_COMMON, _OWN = np.float32(np.sqrt(ROW_CORRELATION)), np.float32(np.sqrt(1 - ROW_CORRELATION))
POISON_LEARNED = ((0.35, 1, 1, 1, 0.35), (0, 0.7, 1, 1, 0.35), (0, 0, 1, 1, 0.35))
"""How much of the poison the candidate, the model of fold 2 and that of fold 1 have learned at the end of the poisoned
week, and one to four weeks later."""


@dataclass(frozen=True)
class Recipe:
    """The figures of the world. SD is short for standard deviation; u and v are explained above.

    Attributes:
        period_days: from one training to the next.
        distance: smallest and largest distance of a specialist's precision and recall from the line.
        approvals: smallest and largest share of rows that people approve.
        rows: smallest and largest number of rows in 30 days.
        noise_memory: correlation of the training noise from one week to the next.
        noise_sd: of u and v, from training.
        drift_sd: of the world's step in one week.
        drift_loss: of u, for each unit that the world has moved since the model was trained.
        wave_memory, wave_sd: of the changes of u that all models share, from one week to the next.
        fold_mix: share of this week's training noise in the models of fold 2 and fold 1; the rest is last week's.
        fold_noise: SD of the noise that the models of the folds have besides.
        fold_loss: of u, since the models of the folds learn from fewer rows.
        start: u of the version in Production at the start, by turns.
        poisoned_weeks: first and last week that may be poisoned; None for a world without poison.
        poisoned_share: of that week's other rows that are seen as approved.
        poison: what a model that has learned the poisoned week gains in u and v.
        decline: of u of all new models, per week.
        rows_per_plan: rows next to each other that belong to one plan.
        recurring: share of plans that come back one week later.
    """

    histories: int = 500
    weeks: int = 52
    period_days: float = WEEK_DAYS
    distance: tuple[float, float] = (-0.05, 0.12)
    approvals: tuple[float, float] = (0.30, 0.55)
    rows: tuple[int, int] = (1000, 2000)
    noise_memory: float = 0.55
    noise_sd: tuple[float, float] = (0.028, 0.03)
    drift_sd: float = 1.0
    drift_loss: float = 0.0145
    wave_memory: float = 0.8
    wave_sd: float = 0.028
    fold_mix: tuple[float, float] = (0.65, 0.35)
    fold_noise: float = 0.014
    fold_loss: tuple[float, float] = (0.008, 0.014)
    start: tuple[float, ...] = (0.0, -0.17)
    poisoned_weeks: tuple[int, int] | None = (8, 43)
    poisoned_share: float = 0.4
    poison: tuple[float, float] = (-0.15, 0.10)
    decline: float = 0.0
    rows_per_plan: int = 1
    recurring: float = 0.0


class Truth(NamedTuple):
    """True precision, recall and F1 of approve; each of shape (histories,)."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


class World:
    """Specialists for a year: their rows, their candidates, and how good each model truly is in each period.

    Attributes:
        first: number of the period at whose end the first candidate is judged. The version that is in Production then
            is of the period before.
        periods: number of all periods.
        segments: which rows a candidate is asked about at the end of a period; shape (histories, lags, rows of a
            period). Lag 0 is the period that ends, lag 1 the one before.
        ages: of these rows, in days.
        poisoned: number of the poisoned week, from 0 on; (histories,).
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.recipe = recipe
        self._rng = np.random.default_rng(seed)
        self.per_week = round(WEEK_DAYS / recipe.period_days)
        self.first = WEEKS_BEFORE * self.per_week
        self.periods = self.first + recipe.weeks * self.per_week
        self.histories = np.arange(recipe.histories)
        self._shape = (recipe.histories, self.periods)
        self._make_specialists()
        self._make_models()
        self._make_rows()

    def weeks_since_start(self, period: int) -> float:
        """Weeks from the start of the year to the end of a period."""
        return (period + 1 - self.first) / self.per_week

    def week_is_over(self, period: int) -> bool:
        """Whether a week ends with this period."""
        return (period + 1 - self.first) % self.per_week == 0

    def truth(self, born: np.ndarray, period: int) -> Truth:
        """How good the models that were trained at the end of these periods truly are in one period."""
        u, v = self._ability(born, period), self._v[TEST][self.histories, born]
        recall, false_positives = ndtr(self._cut + u + v), ndtr(self._other_cut - u + v)
        called = self._approvals * recall + (1 - self._approvals) * false_positives
        return Truth(
            self._approvals * recall / called, recall, 2 * self._approvals * recall / (called + self._approvals)
        )

    def seen(self, period: int) -> np.ndarray:
        """Whether the platform sees a row as approved; the shape of `segments`."""
        return np.stack([self._seen[:, period - lag] for lag in range(self.segments.shape[1])], axis=1)

    def calls(self, born: np.ndarray, period: int) -> np.ndarray:
        """Which rows the models that were trained at the end of these periods call approve; the shape of `segments`."""
        lags = range(self.segments.shape[1])
        return np.stack([self._model_calls(TEST, born, period - lag) for lag in lags], axis=1)

    def candidate_calls(self, period: int) -> np.ndarray:
        """The same of the candidate of this period. The models of the folds answer for it on the rows of the folds."""
        born = np.full_like(self.histories, period)
        answers = np.zeros_like(self.segments, dtype=bool)
        for lag in range(self.segments.shape[1]):
            segments = self.segments[:, lag]
            for kind in (TEST, FOLD_2, FOLD_1):
                if (asked := segments == kind).any():
                    answers[:, lag][asked] = self._model_calls(kind, born, period - lag)[asked]
        return answers

    def _make_specialists(self) -> None:
        size, uniform, recipe = self.recipe.histories, self._rng.uniform, self.recipe
        distance, self._approvals = uniform(*recipe.distance, size), uniform(*recipe.approvals, size)
        precision, recall = PRECISION + distance, RECALL + distance
        hits = self._approvals * recall
        self._cut = ndtri(recall)
        self._other_cut = ndtri(hits * (1 - precision) / (precision * (1 - self._approvals)))
        self._rows = np.round(uniform(*recipe.rows, size) * recipe.period_days / WINDOW_DAYS).astype(int)

    def _make_models(self) -> None:
        """Ability and leaning of the candidates, and of the models of fold 2 and fold 1."""
        recipe, rng = self.recipe, self._rng
        noise = [self._series(recipe.noise_memory, sd) for sd in recipe.noise_sd]
        self._wave = self._series(recipe.wave_memory, recipe.wave_sd)
        step = recipe.drift_sd / np.sqrt(self.per_week)
        self._drift = np.cumsum(rng.normal(0, step, self._shape), axis=1)
        self._keys = rng.integers(0, 2**63, (3, *self._shape), dtype=np.uint64)
        weeks = self.weeks_since_start(np.arange(self.periods))
        decline = recipe.decline * np.maximum(weeks, 0)
        learned = self._poison_learned(weeks)
        mixes, losses = (1.0, *recipe.fold_mix), (0.0, *recipe.fold_loss)
        week_before = np.maximum(np.arange(self.periods) - self.per_week, 0)
        self._u, self._v = np.empty((2, 3, *self._shape))
        for kind, values in ((kind, values) for kind in (TEST, FOLD_2, FOLD_1) for values in (self._u, self._v)):
            of_u = values is self._u
            own = noise[0] if of_u else noise[1]
            mixed = mixes[kind] * own + (1 - mixes[kind]) * own[:, week_before]
            extra = rng.normal(0, recipe.fold_noise, self._shape) if kind != TEST else 0
            values[kind] = mixed + extra + recipe.poison[0 if of_u else 1] * learned[kind]
            values[kind] -= losses[kind] + decline if of_u else 0
        self._u[TEST][:, self.first - 1] += np.resize(recipe.start, recipe.histories)

    def _series(self, memory: float, sd: float) -> np.ndarray:
        """A first-order autoregressive series; `memory` is its correlation from one week to the next."""
        memory = memory ** (1 / self.per_week)
        steps = self._rng.normal(0, sd * np.sqrt(1 - memory**2), self._shape)
        steps[:, 0] /= np.sqrt(1 - memory**2)
        for period in range(1, self.periods):
            steps[:, period] += memory * steps[:, period - 1]
        return steps

    def _poison_learned(self, weeks: np.ndarray) -> np.ndarray:
        """Share of the poison that each kind of model has learned; (3, histories, periods)."""
        if self.recipe.poisoned_weeks is None:
            self.poisoned = np.full(self.recipe.histories, -1)
            return np.zeros((3, *self._shape))
        first, last = self.recipe.poisoned_weeks
        self.poisoned = self._rng.integers(first, last + 1, self.recipe.histories)
        weeks_after = weeks - (self.poisoned + 1)[:, None]
        return np.stack([np.interp(weeks_after, range(-1, 6), (0, *learned, 0)) for learned in POISON_LEARNED])

    def _make_rows(self) -> None:
        most, days, rng = self._rows.max(), self.recipe.period_days, self._rng
        positions = (np.arange(most) + 0.5) / self._rows[:, None]
        lags = np.arange(int(np.ceil(3 * TEST_DAYS / days - 1e-9)))
        self.ages = days * (1 - positions[:, None] + lags[:, None])
        self.segments = np.floor(self.ages / TEST_DAYS).astype(np.int8)
        self.segments[(self.segments > FOLD_1) | (positions[:, None] > 1)] = -1
        shape = (*self._shape, most)
        approved = rng.random(shape) < self._approvals[:, None, None]
        common = rng.standard_normal(shape, dtype=np.float32) * _COMMON
        keys = rng.integers(0, 2**63, shape, dtype=np.uint64)
        self._approved, self._common, self._row_keys = self._of_plans(approved, common, keys)
        week = (np.arange(self.periods) - self.first) // self.per_week
        poisoned = (week == self.poisoned[:, None]) & (self.poisoned >= 0)[:, None]
        self._seen = self._approved | (poisoned[..., None] & (rng.random(shape) < self.recipe.poisoned_share))

    def _of_plans(self, *parts: np.ndarray) -> tuple[np.ndarray, ...]:
        """Rows of one plan are equal: neighbours, and a row of the week before if its plan comes back."""
        if self.recipe.rows_per_plan > 1:
            leaders = np.arange(parts[0].shape[-1]) // self.recipe.rows_per_plan * self.recipe.rows_per_plan
            parts = tuple(part[..., leaders] for part in parts)
        if self.recipe.recurring:
            back = self._rng.random(parts[0].shape) < self.recipe.recurring
            if self.recipe.rows_per_plan > 1:
                back = back[..., leaders]
            for period in range(self.per_week, self.periods):
                for part in parts:
                    part[:, period][back[:, period]] = part[:, period - self.per_week][back[:, period]]
        return parts

    def _ability(self, born: np.ndarray, period: int) -> np.ndarray:
        """The ability in a period: less by the drift since birth, more or less by the wave."""
        moved = np.abs(self._drift[:, period] - self._drift[self.histories, born])
        return self._u[TEST][self.histories, born] - self.recipe.drift_loss * moved + self._wave[:, period]

    def _model_calls(self, kind: int, born: np.ndarray, period: int) -> np.ndarray:
        """Which rows of one period the models call approve; (histories, rows of a period).

        The models of the folds are asked about the days that follow their training, so the drift takes nothing off.
        """
        one = (self.histories, born)
        u = self._ability(born, period) if kind == TEST else self._u[kind][one] + self._wave[:, period]
        v = self._v[kind][one]
        approved = self._approved[:, period]
        cuts = np.where(approved, (self._cut + u + v)[:, None], (self._other_cut - u + v)[:, None])
        own = _normal(self._row_keys[:, period] ^ self._keys[kind][one][:, None])
        return self._common[:, period] + _OWN * own < cuts.astype(np.float32)


_QUANTILES = ndtri((np.arange(2**16) + 0.5) / 2**16).astype(np.float32)


def _normal(keys: np.ndarray) -> np.ndarray:
    """A standard normal number for each key, always the same one: so a model calls a row alike whenever it is asked.

    Source of the mixing: Steele, Lea & Flood (2014), Fast Splittable Pseudorandom Number Generators (SplitMix64).
    """
    mixed = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return _QUANTILES[(mixed >> np.uint64(48)).astype(np.intp)]
