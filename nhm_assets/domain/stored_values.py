"""The values of a `plan_features` document, in both of its shapes; what a value may be is up to who reads it."""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.text import is_string

_IN_COLUMN_ORDER = itemgetter(*FEATURE_NAMES)


def stored_values(features: object) -> tuple[Any, ...] | None:
    """The 26 values of the field `features`, in column order; None if it is unreadable or lacks one.

    The field is a map, or that map as JSON. The values are in its `aggregated_features`, in older documents at its top.
    """
    if is_string(features):
        try:
            features = from_json(features)
        except (ValueError, TypeError):
            # TypeError: the text was not UTF-8.
            return None
    if not isinstance(features, Mapping):
        return None
    try:
        values: tuple[Any, ...] = _IN_COLUMN_ORDER(features.get("aggregated_features", features))
    except (KeyError, TypeError):
        return None
    return values
