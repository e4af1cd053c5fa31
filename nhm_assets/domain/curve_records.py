"""The records of how a candidate's probability of approve behaves on the test rows: what pictures are drawn from."""

from pydantic import Field

from nhm_assets.domain.stored_record import Record


class CurvePoint(Record):
    """Precision and recall if every row counts as approve whose probability of approve reaches the threshold."""

    threshold: float
    precision: float
    recall: float


class CalibrationBin(Record):
    """Rows with about the same probability of approve.

    Attributes:
        predicted: mean of the probabilities.
        rows, approvals: number of rows, and how many of them are labelled approve.
    """

    predicted: float
    rows: int
    approvals: int


class Curves(Record):
    """A candidate on the test rows. Numbers are rounded: they are for pictures, and no rule judges them.

    Attributes:
        precision_recall: by falling threshold.
        calibration: by rising probability.
        directions: feature -> Spearman's rank correlation of its value with the probability of approve, -1 to 1; 0 for
            a feature that is the same, or unknown, in all rows.
    """

    precision_recall: list[CurvePoint] = Field(default_factory=list)
    calibration: list[CalibrationBin] = Field(default_factory=list)
    directions: dict[str, float] = Field(default_factory=dict)
