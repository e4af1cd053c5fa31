"""The result of one rule, without Dagster; steps/asset_checks.py turns it into an asset check's result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_THEN: Final = "\n\n"
"""Between the reason and what is said of the check, in a check's text in the UI."""


@dataclass(frozen=True)
class Verdict:
    """The result of one rule.

    Attributes:
        check: name of the check.
        passed: whether the rule holds.
        reason: a sentence with the figures that decided it.
        figures: the same figures, as metadata.
        warns_only: whether a failure is a warning rather than an error.
        is_estimate: whether the rule judges a figure that other rows of the same kind would change. Others count, or
            look something up.
    """

    check: str
    passed: bool
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    warns_only: bool = False
    is_estimate: bool = True


def check_text(reason: str, subject: str, role: str) -> str:
    """What a check's result says in the UI: the verdict first, then what it is about, and what the check decides."""
    return f"{reason}{_THEN}{subject}. This check {role}."


def reason_in(text: str | None) -> str:
    """The reason in a check's text."""
    return (text or "").partition(_THEN)[0]
