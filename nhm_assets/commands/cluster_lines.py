"""A line of `nhm cluster check`: what was checked, what was found, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a check found. Only a fault keeps the platform from working."""

    OK = "ok"
    UNKNOWN = "unknown"
    FAULT = "FAULT"


@dataclass(frozen=True)
class Line:
    """What one check found.

    Attributes:
        subject: what was checked, in one or two words.
        remedy: what to do, or how to find out; None if all is well.
    """

    subject: str
    state: State
    found: str
    remedy: str | None = None


def ok(subject: str, found: str) -> Line:
    """All is well."""
    return Line(subject, State.OK, found)


def fault(subject: str, found: str, remedy: str) -> Line:
    """Something must be changed."""
    return Line(subject, State.FAULT, found, remedy)


def unknown(subject: str, found: str, remedy: str) -> Line:
    """It cannot be told from here."""
    return Line(subject, State.UNKNOWN, found, remedy)
