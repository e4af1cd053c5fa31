"""How far a week has moved from what the served version learned, and what its figures should be before any review."""

from typing import Final, Literal

from nhm_assets.domain.stored_record import Record

SOME: Final = 0.1
MUCH: Final = 0.25
"""Bands of PSI: below the first nothing has moved, above the second much has."""
_NINETY: Final = 1.645


class Shift(Record):
    """How far one thing has moved.

    Attributes:
        psi: the population stability index.
        bar: PSI below it may be chance in samples of these sizes.
    """

    name: str
    psi: float
    bar: float

    @property
    def band(self) -> Literal["none", "some", "much"]:
        """How much it has moved; `none` as long as it may be chance."""
        if self.psi <= self.bar or self.psi < SOME:
            return "none"
        return "much" if self.psi > MUCH else "some"


class Drift(Record):
    """What came in a week, against what the served version learned.

    Attributes:
        learned: rows that it learned.
        plans, answers, labels: how many were compared.
        important: its most important features, the first one first; empty if that is unknown.
        of_features: all features, the largest shift first; empty if too few plans came.
        of_answers: its confidence and risk; empty if it gave too few answers, or was never asked about new rows.
        of_labels: what people said; empty if they said too little.
    """

    learned: int
    plans: int
    answers: int
    labels: int
    important: list[str]
    of_features: list[Shift]
    of_answers: list[Shift]
    of_labels: list[Shift]

    @property
    def moved(self) -> list[Shift]:
        """The features that have moved, the largest shift first."""
        return [shift for shift in self.of_features if shift.band != "none"]

    @property
    def much_and_important(self) -> list[Shift]:
        """The important features that have moved much."""
        return [shift for shift in self.moved if shift.band == "much" and shift.name in self.important]


class Estimate(Record):
    """Expected figures of approve on some plans.

    Attributes:
        plans: their number.
        precision, recall, f1: expected; None if nothing is called or expected to be approve.
        error: standard error of what F1 will come out as, if the confidences are right.
    """

    plans: int
    precision: float | None
    recall: float | None
    f1: float | None
    error: float

    @property
    def low(self) -> float:
        """5th percentile of F1."""
        return max(0.0, (self.f1 or 0.0) - _NINETY * self.error)

    @property
    def high(self) -> float:
        """95th percentile of F1."""
        return min(1.0, (self.f1 or 0.0) + _NINETY * self.error)


class Checked(Record):
    """The estimate of one week's reviewed opinions, and what came true.

    Attributes:
        weeks_before: the measured week; 0 is that week itself.
        realized: F1 by what people said.
    """

    weeks_before: int
    estimate: Estimate
    realized: float
