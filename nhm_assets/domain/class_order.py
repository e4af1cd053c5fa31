"""The order in which a model answers its classes: its probability columns, and what each of them means.

Datasets number the classes 0, 1 and 2. Models answer them in the order of their `classes_`, which the specialists
read by position. Nothing assumes that order: it comes from the model that answers.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal

import numpy as np

from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, LABELS, REJECT

ServedClasses = Literal["names", "codes"]
"""What a model is fitted on: the names of the classes, or their numbers in the dataset."""

ClassOrder = tuple[str, ...]
"""The names of the three classes, in the order of a model's columns."""

SERVED_ORDERS: Final[dict[ServedClasses, ClassOrder]] = {"names": tuple(sorted(CLASS_NAMES)), "codes": CLASS_NAMES}
"""scikit-learn sorts the classes that it is fitted on: names by alphabet, numbers by size."""


def fitted_labels(labels: np.ndarray, served: ServedClasses) -> np.ndarray:
    """What a model is fitted on: these labels themselves, or the names of their classes."""
    return np.asarray(CLASS_NAMES)[labels] if served == "names" else labels


def class_order(classes: Iterable[Any]) -> ClassOrder | None:
    """The order that a model's `classes_` state; None if they are not our three classes, by name or by number."""
    names = []
    for value in classes:
        name = value.item() if isinstance(value, np.generic) else value
        if isinstance(name, int | float) and not isinstance(name, bool) and name in LABELS.values():
            name = CLASS_NAMES[int(name)]
        names.append(name)
    known = all(isinstance(name, str) for name in names) and sorted(names) == sorted(CLASS_NAMES)
    return tuple(names) if known else None


def own_order(model: Any) -> ClassOrder:
    """The order of a model that was fitted here, on our classes.

    Raises:
        ValueError: its classes are not ours.
    """
    order = class_order(model.classes_)
    if order is None:
        raise ValueError(f"a model of our own knows the classes {list(model.classes_)} instead of {list(CLASS_NAMES)}")
    return order


def by_label(probabilities: np.ndarray, order: ClassOrder) -> np.ndarray:
    """The same probabilities with the columns in the order of the labels 0, 1 and 2."""
    return probabilities[:, [order.index(name) for name in CLASS_NAMES]]


def confidence_column(order: ClassOrder) -> int:
    """The column with the probability of approve."""
    return order.index(CLASS_NAMES[APPROVE])


def risk_column(order: ClassOrder) -> int:
    """The column with the probability of reject."""
    return order.index(CLASS_NAMES[REJECT])
