"""Which rows a dataset may have, by settings: which valid feedback is left out, and what a language model adds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


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


@dataclass(frozen=True)
class LlmRules:
    """Which rows that a language model made are added.

    Attributes:
        folder: of their files.
        max_share: the largest fraction of the train rows, below 1, that they may be.
        conditional: whether those labelled conditional are left out, or are review_required.
    """

    folder: Path
    max_share: float
    conditional: Literal["drop", "review"]
