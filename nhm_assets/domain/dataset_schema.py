"""The dataset's rows: their columns, types, classes and digest.

Every stage reads or writes these rows.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_words import (
    APPROVAL,
    APPROVE,
    CLASS_NAMES,
    HYBRID,
    LABELS,
    LLM,
    NO_FEEDBACK,
    PROVENANCES,
    QUARANTINE,
    REAL,
    REJECT,
    REVIEW_REQUIRED,
    REVIEWER,
    SCRIPTED,
    SOURCES,
    SPLITS,
    SYNTHETIC,
    TEST,
    TRAIN,
    VALIDATION,
)
from nhm_assets.domain.feature_names import COMPUTED_FEATURES, EMBEDDING_FEATURES, FEATURE_NAMES

__all__ = [
    "APPROVAL",
    "APPROVE",
    "CLASS_NAMES",
    "COLUMNS",
    "COMPUTED_FEATURES",
    "EMBEDDING_FEATURES",
    "FEATURE_NAMES",
    "HYBRID",
    "IDS",
    "LABELS",
    "LLM",
    "NO_FEEDBACK",
    "PROVENANCES",
    "QUARANTINE",
    "REAL",
    "REJECT",
    "REVIEWER",
    "REVIEW_REQUIRED",
    "SCRIPTED",
    "SORT_ORDER",
    "SOURCES",
    "SPLITS",
    "SYNTHETIC",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "conform",
    "counts",
    "data_source",
    "data_version",
    "schema_faults",
]
"""With the words of dataset_words.py and the names of the features, which those who know the columns need too."""

_DTYPES: Final = {
    "feedback_id": "object",
    "opinion_id": "object",
    "plan_id": "object",
    "submitted_at": "datetime64[us, UTC]",
    "human_rating": "float64",
    "label": "int64",
    "source": "object",
    "provenance": "object",
    "split": "object",
} | dict.fromkeys(FEATURE_NAMES, "float64")

COLUMNS: Final = tuple(_DTYPES)
"""The dataset's columns, in order: nine that describe the row, then the 26 features."""

IDS: Final = ("feedback_id", "opinion_id", "plan_id")
"""Columns of texts of which nearly each occurs once. They may be Arrow's, which take less than half of the memory."""
_PACKED: Final = "large_string[pyarrow]"
SORT_ORDER: Final = ["submitted_at", "feedback_id"]
_TEXTS_AT_ONCE: Final = 10_000


def conform(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with exactly the dataset's columns, types and row order. It shares memory with what fits already.

    Raises:
        KeyError: a column is missing.
    """
    columns = {
        name: frame[name] if str(frame[name].dtype) == kind else frame[[name]].astype({name: kind})[name]
        for name, kind in _DTYPES.items()
    }
    typed = pd.DataFrame(columns, copy=False)
    if _is_in_order(typed):
        typed.index = pd.RangeIndex(len(typed))
        return typed
    return typed.sort_values(SORT_ORDER, kind="stable", ignore_index=True)


def _is_in_order(frame: pd.DataFrame) -> bool:
    """Whether the rows are sorted. Sorting would copy them all, even if they are."""
    steps = np.diff(frame["submitted_at"].astype("int64"))
    if (steps < 0).any():
        return False
    ids = frame["feedback_id"].to_numpy()
    return all(ids[first] <= ids[first + 1] for first in np.flatnonzero(steps == 0))


def schema_faults(frame: pd.DataFrame) -> list[str]:
    """Where the frame differs from the dataset's schema, one phrase per difference; empty if it conforms."""
    if tuple(frame.columns) != COLUMNS:
        missing = sorted(set(COLUMNS) - set(frame.columns))
        unexpected = sorted(set(frame.columns) - set(COLUMNS))
        return [f"the columns differ: missing {missing}, unexpected {unexpected}, or in another order"]
    faults = [
        f"column {name} has type {frame[name].dtype} instead of {dtype}"
        for name, dtype in _DTYPES.items()
        if str(frame[name].dtype) != dtype and not (name in IDS and str(frame[name].dtype) == _PACKED)
    ]
    if faults:
        return faults
    return [*_value_faults(frame), *_order_faults(frame)]


def _value_faults(frame: pd.DataFrame) -> list[str]:
    allowed: dict[str, set[int] | set[str]] = {
        "label": set(LABELS.values()),
        "source": set(SOURCES),
        "provenance": set(PROVENANCES),
        "split": set(SPLITS),
    }
    faults = [
        f"{name} has the values {sorted(set(frame[name]) - values, key=str)}; only {sorted(values)} are allowed"
        for name, values in allowed.items()
        if not set(frame[name]) <= values
    ]
    if not frame["human_rating"].between(0.0, 1.0).all():
        faults.append("a human_rating is outside 0..1")
    if not all(np.isfinite(frame[name]).all() for name in COMPUTED_FEATURES):
        faults.append("a computed feature is NaN or infinite")
    if any(np.isinf(frame[name]).any() for name in EMBEDDING_FEATURES):
        faults.append("an embedding feature is infinite")
    return faults


def _order_faults(frame: pd.DataFrame) -> list[str]:
    faults = []
    if frame["opinion_id"].duplicated().any():
        faults.append("an opinion has more than one row")
    if not frame.index.equals(frame[SORT_ORDER].sort_values(SORT_ORDER, kind="stable").index):
        faults.append("the rows are not sorted by submitted_at, then feedback_id")
    return faults


def data_source(frame: pd.DataFrame) -> str:
    """`real`, `synthetic`, or `hybrid` if the frame has real rows and others."""
    kinds = set(frame["source"])
    if REAL in kinds:
        return REAL if kinds == {REAL} else HYBRID
    return SYNTHETIC if kinds else REAL


class Rows(Protocol):
    """What a digest needs of a frame. Columns may be read from a file only when they are asked for."""

    columns: Any

    def __len__(self) -> int: ...
    def __getitem__(self, name: Any, /) -> Any: ...


def data_version(frame: Rows) -> str:
    """Digest of the rows, 32 hex digits: equal exactly if columns, order and values are equal.

    It depends on values, not on file bytes, so another Parquet writer gives the same version. All NaN are equal.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in frame.columns:
        digest.update(f"{name}\0{len(frame)}\0".encode())
        for part in _column_bytes(frame[name]):
            digest.update(part)
    return digest.hexdigest()


def _column_bytes(column: pd.Series) -> Iterator[bytes]:
    if column.dtype == "object" or isinstance(column.dtype, pd.ArrowDtype):
        yield from _text_bytes(column)
    elif isinstance(column.dtype, pd.DatetimeTZDtype):
        yield column.astype("int64").to_numpy("<i8").tobytes()
    elif column.dtype.kind == "f":
        values = column.to_numpy("<f8", copy=True)
        values[np.isnan(values)] = np.nan
        yield values.tobytes()
    else:
        yield column.to_numpy("<i8").tobytes()


def _text_bytes(column: pd.Series) -> Iterator[bytes]:
    """All lengths, then all texts. A million texts as bytes, each an object, would take 150 MB."""
    lengths, texts = np.empty(len(column), "<i8"), []
    for start in range(0, len(column), _TEXTS_AT_ONCE):
        part = column.iloc[start : start + _TEXTS_AT_ONCE]
        lengths[start : start + len(part)], encoded = _encoded(part)
        texts.append(encoded)
    yield lengths.tobytes()
    yield from texts


def _encoded(texts: pd.Series) -> tuple[Sequence[int] | np.ndarray, bytes]:
    """The length of each text in bytes, and all of them one after another."""
    import pyarrow as pa

    try:
        packed = pa.array(texts.array, pa.large_string())
    except (TypeError, pa.ArrowInvalid, pa.ArrowTypeError):
        packed = None
    if packed is None or packed.null_count:
        one_by_one = [str(value).encode() for value in texts]
        return list(map(len, one_by_one)), b"".join(one_by_one)
    packed = packed.combine_chunks() if isinstance(packed, pa.ChunkedArray) else packed
    _, ends, content = packed.buffers()
    places = np.frombuffer(ends, "<i8")[packed.offset : packed.offset + len(packed) + 1]
    return np.diff(places), memoryview(content or b"")[int(places[0]) : int(places[-1])].tobytes()


def counts(values: pd.Series) -> dict[str, int]:
    """How often each value occurs, as value -> count, sorted by value."""
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}
