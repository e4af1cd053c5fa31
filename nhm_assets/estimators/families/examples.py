"""The rows that a model learns, as its estimator wants them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import SERVED_ORDERS, ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, LLM
from nhm_assets.domain.segments import are_newer

if TYPE_CHECKING:
    from collections.abc import Sequence

_OLDER: Final = 0.7
"""Share of the real rows, by time, that members of an ensemble learn before they are asked about the newer ones."""


@dataclass(frozen=True)
class Examples:
    """Dataset rows to learn, always with all three classes.

    For each missing class, one row with weight zero is added. Trees ignore rows without weight, so a forest learns
    nothing from it, but `predict_proba` gets the column that the specialists expect. Where a pipeline takes medians or
    scales, it counts as one row of zeros.

    Args:
        rows: dataset rows, in the order of the dataset; another order results in another model.
        served: learn the names of the classes, or their numbers: reject, approve, review_required.
        llm_weight: of rows that a language model made; others have 1.
    """

    rows: pd.DataFrame
    served: ServedClasses
    llm_weight: float = 1.0

    @property
    def _labels(self) -> np.ndarray:
        labels = self.rows["label"].to_numpy()
        return np.append(labels, self._missing) if self._missing else labels

    @property
    def _missing(self) -> "Sequence[int]":
        return sorted(set(range(len(CLASS_NAMES))) - set(self.rows["label"]))

    @cached_property
    def features(self) -> pd.DataFrame:
        """The 26 features; shape (n, 26), rows without weight last."""
        features = self.rows[list(FEATURE_NAMES)]
        if not self._missing:
            return features
        weightless = pd.DataFrame(0.0, index=range(len(self._missing)), columns=features.columns)
        return pd.concat([features, weightless], ignore_index=True)

    def single_precision(self) -> pd.DataFrame:
        """The same features as float32, which scikit-learn's trees make of them anyway, without the steps between."""
        values = np.zeros((len(self.rows) + len(self._missing), len(FEATURE_NAMES)), "float32", order="F")
        for column, name in enumerate(FEATURE_NAMES):
            values[: len(self.rows), column] = self.rows[name]
        return pd.DataFrame(values, columns=list(FEATURE_NAMES))

    @property
    def classes(self) -> np.ndarray:
        """What the estimator is to answer for each of them; shape (n,)."""
        return fitted_labels(self._labels, self.served)

    @property
    def class_numbers(self) -> np.ndarray:
        """The same as places in `served_classes`; shape (n,).

        scikit-learn copies what it is to learn several times, and a name takes 60 bytes.
        """
        places = np.array([SERVED_ORDERS[self.served].index(name) for name in CLASS_NAMES])
        return places[self._labels]

    @property
    def served_classes(self) -> np.ndarray:
        """The classes in the order of the estimator's answers."""
        return np.unique(fitted_labels(np.arange(len(CLASS_NAMES)), self.served))

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of each, shape (n,), 0 for rows of missing classes; None if all count alike."""
        own = np.where(self.rows["source"] == LLM, self.llm_weight, 1.0)
        if not self._missing and (own == 1.0).all():
            return None
        return np.append(own, np.zeros(len(self._missing)))

    def by_time(self) -> tuple["Examples", "Examples"]:
        """Older and newer examples; all rows of a plan are among the same ones, and synthetic rows among the older.

        Of so few plans that one part would be empty, both are all of them.
        """
        newer = are_newer(self.rows, _OLDER)
        if newer.all() or not newer.any():
            return self, self
        return replace(self, rows=self.rows[~newer]), replace(self, rows=self.rows[newer])
