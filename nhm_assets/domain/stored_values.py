"""The values of a `plan_features` document, in both of its shapes; what a value may be is up to who reads it."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.text import is_string

IN_COLUMN_ORDER = itemgetter(*FEATURE_NAMES)
"""The values of a map of features."""


def stored_values(features: object) -> tuple[Any, ...] | None:
    """The 26 values of the field `features`, in column order; None if it is unreadable or lacks one.

    The field is a map, or that map as JSON. The values are in its `aggregated_features`, in older documents at its top.
    """
    if is_string(features):
        return stored_values_of_json(features)
    if not isinstance(features, Mapping):
        return None
    try:
        values: tuple[Any, ...] = IN_COLUMN_ORDER(features.get("aggregated_features", features))
    except (KeyError, TypeError):
        return None
    return values


def stored_values_of_json(text: str | bytes) -> tuple[Any, ...] | None:
    """The same of a map as JSON."""
    try:
        features = from_json(text)
    except (ValueError, TypeError):
        # TypeError: the text was not UTF-8.
        return None
    return stored_values(features) if isinstance(features, dict) else None
