"""Rows of two models as counts of eight kinds, which are all that their difference in F1 depends on.

A row is of kind 4 y + 2 c + k, where y, c and k say whether it is labelled approve, and whether the first and the
second model call it approve.
"""

import numpy as np

KINDS = 8
_TRUE, _FIRST, _SECOND = (np.arange(KINDS)[:, None] >> np.array([2, 1, 0]) & 1).T


def one_hot(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The kind of each row as a column of its own; shape (n, 8).

    Args:
        truth: whether each row is labelled approve; shape (n,).
        first: whether the first model calls it approve.
        second: whether the second model does.
    """
    kind = 4 * truth.astype("int8") + 2 * first.astype("int8") + second.astype("int8")
    return np.eye(KINDS, dtype="int8")[kind]


def f1_difference(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F1 of the two models, and the standard error of the difference.

    The error is that of the paired bootstrap in the limit of many samples: sqrt of the sum of e_i^2 over the rows,
    e_i = (2 y c - F1c (y + c)) / sum(y + c) - (2 y k - F1k (y + k)) / sum(y + k).

    Args:
        counts: rows of each kind; shape (..., 8).

    Returns:
        F1 of the first model, F1 of the second, standard error of their difference; shape (...).
    """
    first, first_parts = _f1(counts, _FIRST)
    second, second_parts = _f1(counts, _SECOND)
    variance = (counts * (first_parts - second_parts) ** 2).sum(axis=-1)
    return first, second, np.sqrt(variance)


def _f1(counts: np.ndarray, called: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 of a model, and the influence of a row of each kind on it."""
    hits, weights = 2 * _TRUE * called, _TRUE + called
    whole = np.maximum(counts @ weights, 1)
    f1 = counts @ hits / whole
    return f1, (hits - f1[..., None] * weights) / whole[..., None]
