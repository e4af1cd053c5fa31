"""Variables that this platform does not read although somebody may think so, and what to set instead.

They are settings of other programs of the hive, and mistyped names of our own.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

INSTEAD: Final = {
    "FEEDBACK_MONGODB_COLLECTION": "set FEEDBACK_COLLECTION",
    "MONGODB_OPINIONS_COLLECTION": "set OPINIONS_COLLECTION",
    "MONGODB_LEDGER_COLLECTION": "set PLANS_COLLECTION",
    "MONGODB_FEATURE_STORE_COLLECTION": "set FEATURES_COLLECTION",
    "RETRAINING_FEEDBACK_WINDOW_DAYS": "set FEEDBACK_WINDOW_DAYS",
    "RETRAINING_MIN_FEEDBACK_QUALITY": "set MIN_FEEDBACK_RATING",
    "EMAIL_RECIPIENTS": "set NOTIFY_URLS to mailto:// addresses",
    "SLACK_CHANNEL": "set NOTIFY_URLS to a slack:// address",
    "MODEL_TYPE": "set MODEL_FAMILY",
    "PROMOTE_IF_BETTER": "remove it: the gate always compares with the version in Production, see MAX_F1_REGRESSION",
    "PROMETHEUS_PUSHGATEWAY_URL": "remove it: the platform pushes no metrics",
}


def warnings_about(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each foreign name that has a value."""
    return [f"{name} is set but not read: {instead}" for name, instead in INSTEAD.items() if environment.get(name)]


_SHORT: Final = 10
"""Shorter names may be one letter off by chance, unless they begin with our own prefix."""
_OWN: Final = "NHM_"


def warnings_about_mistyped(environment: Mapping[str, str], settings: Collection[str]) -> list[str]:
    """One sentence for each variable whose name is one letter off that of a setting that is not set.

    Args:
        environment: of the process.
        settings: the variables that are read.
    """
    given = {name.upper() for name, value in environment.items() if value}
    strange = sorted(given - set(settings) - INSTEAD.keys())
    return [
        f"{name} is set but not read: did you mean {meant}?"
        for name in strange
        for meant in _meant_by(name, set(settings) - given)
    ]


def _meant_by(name: str, unset: Collection[str]) -> Iterator[str]:
    if len(name) >= _SHORT or name.startswith(_OWN):
        yield from (setting for setting in sorted(unset) if _is_one_letter_off(name, setting))


def _is_one_letter_off(one: str, other: str) -> bool:
    """Whether a letter is missing, added or wrong, or two neighbours are swapped."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))
    left, right = one[same:], other[same:]
    swapped = left[:2] == right[:2][::-1] and left[2:] == right[2:]
    return swapped or left[1:] in (right, right[1:]) or left == right[1:]
