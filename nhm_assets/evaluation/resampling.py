"""Resampling of plans. All rows of a plan are drawn together: they resemble each other, so they are no new evidence.

Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 8 (the unit that is drawn).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

_AT_ONCE = 1_000_000
"""Drawn plans per step, which bounds the memory."""


@dataclass(frozen=True)
class PlanSums:
    """What the rows of each plan add up to.

    Attributes:
        sums: whole numbers; shape (plans, columns), in the order in which the plans appear.
    """

    sums: np.ndarray

    @classmethod
    def of(cls, plan_ids: np.ndarray, columns: np.ndarray) -> "PlanSums":
        """Add up the rows of each plan.

        Args:
            plan_ids: the plan of each row; shape (n,).
            columns: what is added up, whole numbers; shape (n, columns).
        """
        plan_of_row, ids = pd.factorize(plan_ids, use_na_sentinel=False)
        # Of half a million plans with forty columns, each copy takes 70 MB.
        sums = np.empty((len(ids), columns.shape[1]), dtype="int32")
        for number, column in enumerate(columns.T):
            # As doubles, which are exact here.
            sums[:, number] = np.bincount(plan_of_row, column, minlength=len(ids))
        return cls(sums)

    @property
    def total(self) -> np.ndarray:
        """Sums over all plans; shape (columns,)."""
        return self.sums.sum(axis=0)

    def resampled(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        """Sums over samples of as many plans as there are, drawn with replacement; shape (samples, columns)."""
        plans = len(self.sums)
        step = max(1, _AT_ONCE // max(plans, 1))
        # Floats multiply faster than integers, and are exact here.
        sums = self.sums.astype("float64")
        parts = [_sample(sums, rng, min(step, samples - done)) for done in range(0, samples, step)]
        return np.concatenate(parts)

    def further(self, rng: np.random.Generator, samples: int, plans: int) -> np.ndarray:
        """Sums over samples of `plans` plans like these, drawn with replacement; shape (samples, columns).

        Plans with equal sums are interchangeable. So a multinomial draw says how many of each kind there are, and the
        cost does not grow with the number of plans.
        """
        kinds, counts = np.unique(self.sums, axis=0, return_counts=True)
        return rng.multinomial(plans, counts / counts.sum(), size=samples) @ kinds


def _sample(sums: np.ndarray, rng: np.random.Generator, samples: int) -> np.ndarray:
    plans = len(sums)
    drawn = rng.integers(plans, size=(samples, plans)) + plans * np.arange(samples)[:, None]
    times = np.bincount(drawn.ravel(), minlength=samples * plans).reshape(samples, plans)
    return np.rint(times.astype("float64") @ sums).astype("int64")
