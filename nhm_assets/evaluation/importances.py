"""Permutation importances, asked of the model in a few large questions instead of one per permutation."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from nhm_assets.evaluation.metrics import Labels, Probabilities, f1_of_approve, predict_labels

_REPEATS = 5
_SEED = 42
_ROWS_AT_ONCE = 50_000
"""Rows of one question, unless a single permutation has more: as doubles, 10 MB."""

Ask = Callable[[pd.DataFrame], Probabilities]
"""A model: rows of features in, probabilities of the labels 0, 1 and 2 out. It answers each row by itself."""


def permutation_importances(
    ask: Ask, features: pd.DataFrame, labels: Labels, *, rows_at_once: int = _ROWS_AT_ONCE
) -> dict[str, float]:
    """The importance of each feature: how much F1 of approve is lost when its values are shuffled, mean over repeats.

    The numbers are exactly those of scikit-learn's `permutation_importance` with this seed (Breiman 2001), which asks
    130 times instead: a model takes far longer for many small questions than for a few large ones.

    Args:
        ask: the model.
        features: the test rows.
        labels: of these rows.
        rows_at_once: the most rows to ask about in one question, if one permutation does not have more.
    """
    orders = _orders(len(features))
    permutations = [(column, order) for column in range(features.shape[1]) for order in orders]
    at_once = max(1, rows_at_once // len(features))
    scores = [
        f1_of_approve(labels, predict_labels(answer))
        for start in range(0, len(permutations), at_once)
        for answer in _answers(ask, features, permutations[start : start + at_once])
    ]
    unshuffled = f1_of_approve(labels, predict_labels(ask(features)))
    losses = unshuffled - np.array(scores).reshape(features.shape[1], len(orders))
    return dict(zip(map(str, features.columns), map(float, losses.mean(axis=1)), strict=True))


def _orders(count: int) -> list[np.ndarray]:
    """The orders into which scikit-learn shuffles each column, one after another: the same ones for all columns."""
    seed = np.random.RandomState(_SEED).randint(np.iinfo(np.int32).max + 1)
    shuffle = np.random.RandomState(seed).shuffle
    positions, order, orders = np.arange(count), np.arange(count), []
    for _ in range(_REPEATS):
        shuffle(positions)
        order = order[positions]
        orders.append(order)
    return orders


def _answers(ask: Ask, features: pd.DataFrame, permutations: list[tuple[int, np.ndarray]]) -> Iterator[Probabilities]:
    """What the model answers to each of these permutations; one question for all of them."""
    values = features.to_numpy(dtype="float64")
    stacked = np.tile(values, (len(permutations), 1))
    blocks = stacked.reshape(len(permutations), *values.shape)
    for block, (column, order) in zip(blocks, permutations, strict=True):
        block[:, column] = values[order, column]
    answer = ask(pd.DataFrame(stacked, columns=features.columns))
    yield from answer.reshape(len(permutations), len(values), -1)
