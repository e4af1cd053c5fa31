"""The stored features of many plans at once, from the bytes of their documents."""

from collections.abc import Iterable
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np
from bson import encode
from pydantic_core import from_json

from nhm_assets.domain.feature_names import FEATURE_NAMES
from nhm_assets.domain.stored_values import IN_COLUMN_ORDER, stored_values_of_json
from nhm_assets.feedback.bson_columns import MAP, MISSING, STRING, read_fields
from nhm_assets.feedback.column_values import numbers, with_bytes
from nhm_assets.feedback.features import EXTRACTOR, LARGEST_FEATURE
from nhm_assets.feedback.found import Found
from nhm_assets.feedback.stored_features import needs_ours, parse_stored, parse_values

STORED_FIELDS: Final = ("features", "extractor")
"""The fields at the top of a features document that are read."""
_WRAPPED: Final = "aggregated_features"
_ENCODED_EXTRACTOR: Final = encode(EXTRACTOR)


class StoredFeatures:
    """What is stored of some plans, row by row. The first row stands for plans of which nothing is stored.

    Attributes:
        values: the 26 features of each; they mean nothing where they are not complete.
        is_complete: whether all 26 are there and are numbers.
        needs_ours: whether to write our features of the plan.
    """

    def __init__(self) -> None:
        self.values = np.full((1, len(FEATURE_NAMES)), np.nan)
        self.is_complete = np.zeros(1, "bool")
        self.needs_ours = np.ones(1, "bool")
        self._row_of: dict[str, int] = {}

    def add(self, asked: Iterable[str], found: Found) -> None:
        """Add what was found of the plans that were asked for."""
        first = len(self.values)
        values, is_complete = _values(found)
        needs = _needs_ours(found)
        for row in np.flatnonzero(found.odd).tolist():
            document = found.document(row)
            parsed = parse_stored(document)
            is_complete[row], needs[row] = parsed is not None, needs_ours(document)
            values[row] = np.nan if parsed is None else parsed
        self.values = np.concatenate([self.values, values])
        self.is_complete = np.append(self.is_complete, is_complete)
        self.needs_ours = np.append(self.needs_ours, needs)
        self._row_of |= dict.fromkeys(asked, 0)
        self._row_of |= {name: first + row for name, row in found.row_of.items()}

    def rows(self, plan_ids: Iterable[str]) -> np.ndarray:
        """The rows of these plans, all of which were asked for."""
        return np.array([self._row_of[name] for name in plan_ids], "int64")

    def unknown(self, plan_ids: Iterable[str]) -> list[str]:
        """Those plans that were not asked for yet."""
        return [name for name in plan_ids if name not in self._row_of]


def _values(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """The features of each document, and whether they are complete. An unusual type makes a document odd."""
    features = found.columns["features"]
    values = np.zeros((len(found.odd), len(FEATURE_NAMES)))
    is_complete = np.zeros(len(found.odd), "bool")
    rows = np.flatnonzero(features.kinds == MAP)
    if len(rows):
        values[rows], is_complete[rows] = _values_of_maps(found, rows, features.places[rows])
    rows = np.flatnonzero(features.kinds == STRING)
    if len(rows):
        places, sizes = features.texts(found.answers)
        places, ends, data = places[rows].tolist(), (places + sizes)[rows].tolist(), found.answers.data
        texts = [data[place:end] for place, end in zip(places, ends, strict=True)]
        values[rows], is_complete[rows] = _values_of_texts(texts)
    return values, is_complete


def _values_of_maps(found: Found, rows: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wrapped, strange = read_fields(found.answers, places, [_WRAPPED])
    kinds = wrapped[_WRAPPED].kinds
    inner = np.where(kinds == MAP, wrapped[_WRAPPED].places, places)
    columns, strange_inside = read_fields(found.answers, inner, FEATURE_NAMES)
    strange |= strange_inside
    pairs = [numbers(found.answers, columns[name], with_bools=False) for name in FEATURE_NAMES]
    values = np.column_stack([one for one, _ in pairs])
    is_complete = np.logical_and.reduce([is_number for _, is_number in pairs])
    is_complete &= (np.abs(values) <= LARGEST_FEATURE).all(axis=1)
    # Old documents have the features at the top. Anything else than a map around them is no map of features.
    is_complete &= (kinds == MAP) | (kinds == MISSING)
    found.odd[rows[strange]] = True
    return values, is_complete


def _values_of_texts(texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The features in maps as JSON. All together where each text is usual, which takes half the time."""
    try:
        rows: list[Any] = list(map(IN_COLUMN_ORDER, map(itemgetter(_WRAPPED), map(from_json, texts))))
        are_numbers = set(map(type, chain.from_iterable(rows))) <= {int, float}
        values = np.array(rows, "float64") if are_numbers else None
    except (ValueError, KeyError, TypeError, OverflowError):
        values = None
    if values is None:
        none = (np.nan,) * len(FEATURE_NAMES)
        values = np.array([parse_values(stored_values_of_json(text)) or none for text in texts])
    is_complete: np.ndarray = (np.abs(values) <= LARGEST_FEATURE).all(axis=1)
    return values, is_complete


def _needs_ours(found: Found) -> np.ndarray:
    """Whether each plan needs ours: never, unless the document is ours. One of another version is odd."""
    extractor = found.columns["extractor"]
    is_map = extractor.kinds == MAP
    is_current = with_bytes(found.answers, extractor.places, is_map.copy(), _ENCODED_EXTRACTOR)
    found.odd |= is_map & ~is_current
    return np.zeros(len(found.odd), "bool")
