"""What an opinion itself says of its plan, and whether the label can be told from that alone.

Scripts that make up feedback derive it from the opinion's scores. A model that learns from it learns the scripts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

RECOMMENDATIONS: Final = ("approve", "reject", "review_required", "conditional")
FIELDS: Final = ("confidence_score", "risk_score", "recommendation")
SCORE_FIELDS: Final = (*FIELDS, *(f"opinion.{field}" for field in FIELDS))
"""Fields of an opinion document: at the top (schema version 1), or inside `opinion` (schema version 2)."""

LARGEST_SCORE: Final = 1e6
MIN_ROWS: Final = 30
_FOLDS: Final = 5
_DEPTH: Final = 4
"""Enough for the thresholds of a script, too little to learn single rows."""

Scores = tuple[float, ...]


def scores_of(opinion: Mapping[str, Any]) -> Scores:
    """Confidence, risk and number of the recommendation; NaN for what is missing or no number."""
    confidence, risk, recommendation = map(opinion.get, FIELDS)
    inside = opinion.get("opinion")
    if isinstance(inside, Mapping):
        values = zip(map(inside.get, FIELDS), (confidence, risk, recommendation), strict=True)
        confidence, risk, recommendation = (other if own is None else own for own, other in values)
    number = RECOMMENDATIONS.index(recommendation) if recommendation in RECOMMENDATIONS else math.nan
    return _number(confidence), _number(risk), float(number)


def _number(value: object) -> float:
    # Models of trees cast to float32, and so does this one.
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_SCORE
    return float(value) if usable else math.nan  # type: ignore[arg-type]


def labels_told(scores: Sequence[Scores] | np.ndarray, labels: Sequence[int] | np.ndarray) -> float | None:
    """The fraction of labels that a small tree tells from scores of rows that it has not seen.

    None if there are fewer than 30 rows, or too few labels besides the commonest one to tell them apart.
    """
    commonest = np.bincount(labels).max() if len(labels) else 0
    if len(labels) < MIN_ROWS or len(labels) - commonest < _FOLDS:
        return None
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=_DEPTH, random_state=0)
    folds = KFold(_FOLDS, shuffle=True, random_state=0)
    told = cross_val_predict(tree, np.array(scores, dtype="float64"), np.array(labels), cv=folds)
    return float((told == np.array(labels)).mean())
