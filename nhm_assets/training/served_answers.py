"""Asks a model the way the specialists do, and reads its answer by their rule.

They load the version as a pyfunc and send one plan at a time: 33 columns in no order, of which the model needs 26. They
read the answer by position: the first probability as confidence, the second as risk.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import SERVED_ORDERS, ServedClasses, confidence_column, risk_column
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, REJECT

_SENT_BESIDES: Final = (
    "max_norm",
    "min_norm",
    "has_risk_score",
    "num_domains",
    "num_entities",
    "ontology_coverage",
    "embedding_dimension",
)
"""Columns that specialists send and no model learns; only their number matters."""
_SEED: Final = 42
_ASKED_ALONE: Final = 12
"""Rows that are asked once more, one at a time; every question takes some milliseconds."""
_UNDECIDED: Final = 0.5
"""What the specialists make of a label without probabilities."""


@dataclass(frozen=True)
class Answers:
    """What the specialists read: confidence and risk of each row."""

    confidence: np.ndarray
    risk: np.ndarray

    def equals(self, other: "Answers") -> bool:
        """Whether both are the same, apart from rounding."""
        same = np.isclose([self.confidence, self.risk], [other.confidence, other.risk], rtol=0, atol=1e-9)
        return bool(same.all())


@dataclass(frozen=True)
class Contrast:
    """Mean confidence and risk of the rows that people approved, and of those that they rejected.

    Attributes:
        rejected_confidence, rejected_risk: None if no row is labelled reject.
        other_confidence: of the rejected rows, or of those that need a review if no row is rejected.
    """

    confidence: float
    other_confidence: float
    risk: float
    rejected_risk: float | None

    @property
    def right(self) -> bool:
        """Whether what people approved gets more confidence and less risk."""
        return self.confidence > self.other_confidence and (
            self.rejected_risk is None or self.risk < self.rejected_risk
        )

    def __str__(self) -> str:
        risks = "" if self.rejected_risk is None else f", risk {self.risk:.3f} against {self.rejected_risk:.3f}"
        return f"confidence {self.confidence:.3f} against {self.other_confidence:.3f}{risks}"


def ask(model: Any, rows: pd.DataFrame, served: ServedClasses) -> Answers:
    """Ask a loaded pyfunc about all rows at once."""
    return read(model.predict(as_sent(rows)), len(rows), served)


def ask_alone(model: Any, rows: pd.DataFrame, served: ServedClasses) -> Answers:
    """Ask a loaded pyfunc one row at a time."""
    frame = as_sent(rows)
    answers = [read(model.predict(frame.iloc[[number]]), 1, served) for number in range(len(frame))]
    return Answers(*(np.concatenate([getattr(one, name) for one in answers]) for name in ("confidence", "risk")))


def as_sent(rows: pd.DataFrame) -> pd.DataFrame:
    """The frame that the specialists send: 33 columns of doubles, in no order."""
    frame = rows[list(FEATURE_NAMES)].astype("float64").assign(**dict.fromkeys(_SENT_BESIDES, 1.0))
    return frame[np.random.default_rng(_SEED).permutation(frame.columns)]


def read(answer: Any, count: int, served: ServedClasses) -> Answers:
    """What the specialists understand: columns by position, and a label without probabilities as 0.5 and 0.5."""
    values = np.asarray(answer)
    if values.ndim == 1:
        return Answers(np.full(count, _UNDECIDED), np.full(count, _UNDECIDED))
    order = SERVED_ORDERS[served]
    return Answers(
        values[:, confidence_column(order)].astype("float64"), values[:, risk_column(order)].astype("float64")
    )


def contrast(answers: Answers, labels: np.ndarray) -> Contrast | None:
    """Compare what people approved with what they did not; None if the rows hold only one of the two."""
    approved, rejected = labels == APPROVE, labels == REJECT
    others = rejected if rejected.any() else ~approved
    if not (approved.any() and others.any()):
        return None
    return Contrast(
        confidence=float(answers.confidence[approved].mean()),
        other_confidence=float(answers.confidence[others].mean()),
        risk=float(answers.risk[approved].mean()),
        rejected_risk=float(answers.risk[rejected].mean()) if rejected.any() else None,
    )


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """A few of the rows, evenly spread."""
    picked = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _ASKED_ALONE)).astype(int))
    return rows.iloc[picked]
