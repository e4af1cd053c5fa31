"""Which patterns the descriptions of many plans name, found in one text of all descriptions."""

from typing import Final

import numpy as np

from nhm_assets.feedback.bson_columns import MISSING, STRING, Answers, Column
from nhm_assets.feedback.features import ANTI_PATTERNS, PATTERNS

_PHRASES: Final = [
    (row, phrase.encode()) for row, (phrases, _) in enumerate((*PATTERNS, *ANTI_PATTERNS)) for phrase in phrases
]
_BEGINS_PHRASE: Final = np.zeros(1 << 16, "bool")
_BEGINS_PHRASE[[int.from_bytes(phrase[:2], "little") for _, phrase in _PHRASES]] = True
_SEPARATOR: Final = b"\n"
"""No phrase contains it, so no match spans two descriptions."""


def pattern_columns(
    answers: Answers, descriptions: Column, owners: np.ndarray, strange: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """The four features of patterns. A description that is no text, or not UTF-8, makes its task strange."""
    strange |= ~np.isin(descriptions.kinds, (STRING, MISSING))
    detected = _detected(_lowered(answers, descriptions, strange), owners, size)
    counts, totals = [], []
    for table, found in ((PATTERNS, detected[: len(PATTERNS)]), (ANTI_PATTERNS, detected[len(PATTERNS) :])):
        total = np.zeros(size)
        for (_, value), is_found in zip(table, found, strict=True):
            total = total + np.where(is_found, value, 0.0)
        counts.append(found.sum(axis=0).astype("float64"))
        totals.append(total)
    return {
        "num_patterns_detected": counts[0],
        "num_anti_patterns_detected": counts[1],
        "avg_pattern_quality": np.where(counts[0], totals[0] / np.maximum(counts[0], 1), 0.5),
        "total_anti_pattern_penalty": totals[1],
    }


def _lowered(answers: Answers, descriptions: Column, strange: np.ndarray) -> list[bytes]:
    places, sizes = descriptions.texts(answers)
    texts = [answers.data[place:end] for place, end in zip(places.tolist(), (places + sizes).tolist(), strict=True)]
    for number, text in enumerate(texts):
        if text.isascii():
            continue
        try:
            texts[number] = text.decode().lower().encode()
        except UnicodeDecodeError:
            strange[number] = True
    return texts


def _detected(texts: list[bytes], owners: np.ndarray, size: int) -> np.ndarray:
    """Row of the tables x plan -> whether a phrase of the row is in a description of the plan."""
    detected = np.zeros((len(PATTERNS) + len(ANTI_PATTERNS), size), "bool")
    # Upper-case letters that are not ASCII are lower-case already, and bytes beyond ASCII stay as they are.
    text = _SEPARATOR.join(texts).lower()
    answers = Answers([text])
    starts = np.cumsum([0, *(len(one) + len(_SEPARATOR) for one in texts)])[:-1]
    candidates = np.flatnonzero(_BEGINS_PHRASE[answers.pairs[: len(text)]])
    plans = owners[np.searchsorted(starts, candidates, side="right") - 1] if len(texts) else candidates
    for row, phrase in _PHRASES:
        detected[row, plans[answers.matches(candidates, phrase)]] = True
    return detected
