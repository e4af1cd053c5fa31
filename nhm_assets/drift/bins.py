"""Bins of a feature by what a version learned, and how many values fall into each."""

from collections.abc import Iterable, Mapping
from typing import Final, Self

import numpy as np

from nhm_assets.domain.stored_record import Record

_DECILES: Final = np.arange(1, 10) / 10


class Bins(Record):
    """Ten bins by the deciles of the learned values, and one more for missing values.

    A value that several deciles share has a bin of its own, so features with few values have fewer bins.

    Attributes:
        edges: a bin begins at each; the first one is below the first edge.
        counts: learned values in each bin; the last one counts those that are missing.
    """

    edges: list[float]
    counts: list[int]

    @classmethod
    def of(cls, learned: np.ndarray) -> Self:
        """The bins of these values."""
        known = learned[~np.isnan(learned)]
        edges: list[float] = []
        if len(known):
            values, times = np.unique(np.quantile(known, _DECILES, method="higher"), return_counts=True)
            for value, count in zip(values, times, strict=True):
                edges += [float(value)] if count == 1 else [float(value), float(np.nextafter(value, np.inf))]
        return cls(edges=edges, counts=_counts(learned, edges))

    @property
    def rows(self) -> int:
        """How many values were learned."""
        return sum(self.counts)

    def count(self, values: np.ndarray) -> np.ndarray:
        """How many of other values fall into each bin."""
        return np.array(_counts(values, self.edges))


def _counts(values: np.ndarray, edges: list[float]) -> list[int]:
    missing = np.isnan(values)
    where = np.searchsorted(edges, values[~missing], side="right")
    return [*np.bincount(where, minlength=len(edges) + 1).tolist(), int(missing.sum())]


def categories(counts: Mapping[str, int], names: Iterable[str]) -> Bins:
    """One bin per name, for shares of labels."""
    return Bins(edges=[], counts=[int(counts.get(name, 0)) for name in names])
