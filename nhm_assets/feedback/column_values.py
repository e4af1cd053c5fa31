"""Values of many documents at once, by columns: numbers, texts, and what texts mean."""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from nhm_assets.feedback.bson_columns import BOOL, DOUBLE, INT32, INT64, STRING, Answers, Column

_NOT_ASCII: Final = np.uint64(0x8080808080808080)
_LONGEST_NAME: Final = 4
"""Words of eight bytes of a text that is looked up."""


def not_ascii(words: np.ndarray) -> np.ndarray:
    """Which rows of words hold a byte that is no ASCII."""
    found: np.ndarray = (words & _NOT_ASCII != 0).any(axis=1)
    return found


def numbers(answers: Answers, column: Column, *, with_bools: bool) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column, 0 for what is none, and which are numbers; true is 1 if bools count as numbers."""
    values = np.zeros(len(column.kinds))
    views = {DOUBLE: answers.double, INT32: answers.int32, INT64: answers.int64}
    if with_bools:
        views[BOOL] = answers.bytes
    for kind, view in views.items():
        of_kind = column.kinds == kind
        if of_kind.any():
            values[of_kind] = view[column.places[of_kind]]
    return values, column.is_of(*views)


def looked_up(
    answers: Answers, column: Column, table: Mapping[str, float], default: float, odd: np.ndarray
) -> np.ndarray:
    """The number of each text in the table. A text that is long or not ASCII makes its row odd."""
    places, sizes = column.texts(answers)
    words = answers.text_words(places, sizes, _LONGEST_NAME)
    odd |= (sizes > 8 * _LONGEST_NAME) | not_ascii(words)
    values = np.full(len(sizes), default)
    for name, value in table.items():
        padded = np.frombuffer(name.encode().ljust(8 * _LONGEST_NAME, b"\0"), "<u8")
        rows = np.flatnonzero((words[:, 0] == padded[0]) & (sizes == len(name)))
        values[rows[(words[rows, 1:] == padded[1:]).all(axis=1)]] = value
    return values


def ascii_texts(answers: Answers, column: Column, odd: np.ndarray) -> list[str]:
    """The texts of a column, empty where there is none. One that is not ASCII makes its row odd, and means nothing."""
    places, sizes = column.texts(answers)
    data = answers.latin1
    texts = [data[place:end] for place, end in zip(places.tolist(), (places + sizes).tolist(), strict=True)]
    if not "".join(texts).isascii():
        odd |= [not text.isascii() for text in texts]
    return texts


def is_text(answers: Answers, column: Column, text: str) -> np.ndarray:
    """Which values are this text."""
    places, sizes = column.texts(answers)
    encoded = text.encode()
    return with_bytes(answers, places, (column.kinds == STRING) & (sizes == len(encoded)), encoded)


def begins(answers: Answers, column: Column, prefixes: Iterable[str]) -> np.ndarray:
    """Which values are texts that begin with one of these."""
    places, sizes = column.texts(answers)
    found = np.zeros(len(places), "bool")
    for prefix in map(str.encode, prefixes):
        found |= with_bytes(answers, places, (column.kinds == STRING) & (sizes >= len(prefix)), prefix)
    return found


def with_bytes(answers: Answers, places: np.ndarray, candidates: np.ndarray, content: bytes) -> np.ndarray:
    """Which of the candidates, all of them long enough, have these bytes at their places."""
    rows = np.flatnonzero(candidates)
    candidates[rows] = answers.matches(places[rows], content)
    return candidates


def is_true(answers: Answers, column: Column) -> np.ndarray:
    """Which values are true, and not merely a number like 1."""
    return (column.kinds == BOOL) & (answers.bytes[column.places] == 1)
