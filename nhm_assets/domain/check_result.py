"""What a rule says of an asset: the plain form of an asset check's result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """One rule's judgement.

    Attributes:
        check: name of the check.
        passed: whether the rule holds.
        reason: a sentence with the figures that decided.
        figures: the same figures, for a table.
        warns_only: whether a failure is a warning rather than an error.
    """

    check: str
    passed: bool
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    warns_only: bool = False
