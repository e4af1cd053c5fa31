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
_GOES_ON: Final = np.zeros(1 << 16, "bool")
_GOES_ON[[int.from_bytes(phrase[1:3], "little") for _, phrase in _PHRASES]] = True
"""Second and third byte of a phrase: none is shorter."""
_SEPARATOR: Final = b"\n"
"""No phrase contains it, so no match spans two descriptions."""


def pattern_columns(
    answers: Answers, descriptions: Column, owners: np.ndarray, strange: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """The four features of patterns. A description that is no text, or not UTF-8, makes its task strange."""
    strange |= ~descriptions.is_of(STRING, MISSING)
    detected = _detected(*_lowered(answers, descriptions, strange), owners, size)
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


def _lowered(answers: Answers, descriptions: Column, strange: np.ndarray) -> tuple[bytes, np.ndarray]:
    """All descriptions in lower case as one text, and where each starts in it."""
    places, sizes = descriptions.texts(answers)
    texts = [answers.data[place:end] for place, end in zip(places.tolist(), (places + sizes).tolist(), strict=True)]
    text = _SEPARATOR.join(texts)
    if not text.isascii():
        for number, one in enumerate(texts):
            try:
                texts[number] = one.decode().lower().encode()
            except UnicodeDecodeError:
                strange[number] = True
        text = _SEPARATOR.join(texts)
        sizes = np.array([len(one) for one in texts])
    ends = np.cumsum(sizes + len(_SEPARATOR))
    # Upper-case letters that are not ASCII are lower-case already, and bytes beyond ASCII stay as they are.
    return text.lower(), ends - sizes - len(_SEPARATOR)


def _detected(text: bytes, starts: np.ndarray, owners: np.ndarray, size: int) -> np.ndarray:
    """Row of the tables x plan -> whether a phrase of the row is in a description of the plan."""
    detected = np.zeros((len(PATTERNS) + len(ANTI_PATTERNS), size), "bool")
    answers = Answers([text])
    candidates = np.flatnonzero(_BEGINS_PHRASE[answers.pairs[: len(text)]])
    candidates = candidates[_GOES_ON[answers.pairs[candidates + 1]]]
    plans = owners[np.searchsorted(starts, candidates, side="right") - 1]
    for row, phrase in _PHRASES:
        detected[row, plans[answers.matches(candidates, phrase)]] = True
    return detected
