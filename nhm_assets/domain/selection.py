"""Which valid feedback is left out, by settings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Selection:
    """Which valid feedback is left out, by settings.

    Attributes:
        min_rating: feedback with a lower rating is left out.
        scripted_prefixes: a feedback id that begins with one of these was made by a script.
        include_scripted: whether feedback made by scripts is learned from.
    """

    min_rating: float
    scripted_prefixes: tuple[str, ...]
    include_scripted: bool
