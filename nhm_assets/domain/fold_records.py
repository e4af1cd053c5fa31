"""What the folds say of a candidate: the parts of a report beside the metrics on the test rows."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from nhm_assets.domain.stored_record import Record


class Posterior(Record):
    """What counts say of a rate: the beta distribution with the parameters a and b.

    Attributes:
        low, high: its 5th and 95th percentile.
    """

    a: float
    b: float
    low: float
    high: float


class Pooled(Record):
    """A model's calls, approve or not, counted over rows of several segments.

    Attributes:
        tp, fp, fn, tn: true and false calls of approve (p) and of not approve (n).
        precision, recall: their Jeffreys posteriors.
    """

    tp: int
    fp: int
    fn: int
    tn: int
    precision: Posterior | None = None
    recall: Posterior | None = None

    @property
    def f1(self) -> float:
        """F1 of approve; 0 if nothing is approve."""
        named = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / named if named else 0.0

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return self.tp + self.fp + self.fn + self.tn


class Fold(Record):
    """The candidate's estimator, fitted on the rows before a segment and asked about that segment.

    Attributes:
        number: of the segment, 1 or 2.
        learned_rows, tested_rows: number of rows that it learned, and that it was asked about.
        confusion: as in Metrics; empty if the fold is left out.
        left_out: why the fold does not count; empty if it counts.
    """

    number: int
    learned_rows: int
    tested_rows: int
    confusion: list[list[int]] = Field(default_factory=list)
    left_out: str = ""


class FairRows(Record):
    """The test rows that are new to the champion, and what both models make of them.

    Attributes:
        rows, approvals: their number, and how many of them are labelled approve.
        left_out: number of test rows that the champion has learned, or whose plan it has learned.
        f1, champion_f1: F1 of the candidate and of the champion on these rows.
    """

    rows: int
    approvals: int
    left_out: int
    f1: float
    champion_f1: float


class NewRows(Record):
    """The rows that are new to the champion: it has not learned them.

    Attributes:
        learned_until: newest time among the rows that the champion has learned; None if that is unknown.
        learned_by: how that is known: by the dataset that it learned, by the tag of the version, by the end of its
            window, or not at all.
        newer_window: whether the champion learned from a newer window than the candidate.
        test: those among the test rows; None if these are all of them.
        pooled: the champion's calls on those among the test rows and the rows of the folds.
    """

    learned_until: datetime | None
    learned_by: Literal["dataset", "tag", "window", "nothing"]
    newer_window: bool
    test: FairRows | None
    pooled: Pooled


class Reference(Record):
    """The version that was in Production REFERENCE_WEEKS before the end of the candidate's window.

    Attributes:
        weeks: REFERENCE_WEEKS.
        version: None if no version was in Production then.
        rows: number of rows that it and the candidate were compared on.
        difference: F1 of the candidate minus that of the reference; None if they were not compared.
        reason: why they were not compared; empty if they were.
    """

    weeks: int
    version: str | None = None
    rows: int = 0
    difference: float | None = None
    reason: str = ""
