"""What a version learned, in the form in which later weeks are compared with it."""

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, EMBEDDING_FEATURES, FEATURE_NAMES, REAL
from nhm_assets.domain.frame_views import taken
from nhm_assets.domain.stored_record import Record
from nhm_assets.drift.bins import Bins, categories

CONFIDENCE: Final = "confidence"
RISK: Final = "risk"
_MOST_VALUES: Final = 1000
_MOST_BACKGROUND: Final = 100
_SEED: Final = 42


class Baseline(Record):
    """Bins of everything that is compared with later weeks.

    Attributes:
        rows: number of rows that the version learned.
        synthetic: whether all of them are synthetic: then they say nothing about the world.
        features: by name.
        answers: bins of confidence and risk, on rows that the version had not learned; empty if it was not asked.
        labels: learned rows by class, in the order reject, approve, review_required.
        important: the most important features, the first one first; empty if that is unknown.
    """

    rows: int
    synthetic: bool
    features: dict[str, Bins]
    answers: dict[str, Bins]
    labels: Bins
    important: list[str]

    @classmethod
    def of(
        cls, learned: pd.DataFrame, answers: Mapping[str, np.ndarray], importances: Mapping[str, float], *, top: int
    ) -> Self:
        """The baseline of a version.

        Args:
            learned: the rows that it learned; real ones count, if there are any.
            answers: its confidence and risk on rows that it had not learned.
            importances: of its features.
            top: number of features that count as important.
        """
        rows = real_rows(learned)
        said = {name: int((rows["label"] == label).sum()) for label, name in enumerate(CLASS_NAMES)}
        ranked = sorted((name for name in importances if importances[name] > 0), key=lambda name: -importances[name])
        return cls(
            rows=len(rows),
            synthetic=not (learned["source"] == REAL).any(),
            features={name: Bins.of(_comparable(rows[name])) for name in FEATURE_NAMES},
            answers={name: Bins.of(np.asarray(values)) for name, values in answers.items() if len(values)},
            labels=categories(said, CLASS_NAMES),
            important=ranked[:top],
        )


def _comparable(learned: pd.Series) -> np.ndarray:
    """The learned values of a feature with which those of later weeks are compared.

    Only specialists can store embeddings, and a week leaves out the plans whose features they did not store. So learned
    rows without embeddings are left out, too, unless no row has any.
    """
    values = learned.to_numpy(dtype="float64")
    known = values[~np.isnan(values)]
    return known if learned.name in EMBEDDING_FEATURES and len(known) else values


def real_rows(learned: pd.DataFrame) -> pd.DataFrame:
    """The real rows among those that were learned; all of them if there are none."""
    real = taken(learned, learned["source"] == REAL)
    return real if len(real) else learned


def background(learned: pd.DataFrame) -> pd.DataFrame:
    """A few learned rows, features only, for explanations; the same ones every time."""
    rows = real_rows(learned)
    return rows.sample(min(len(rows), _MOST_BACKGROUND), random_state=_SEED)[list(FEATURE_NAMES)]


def importance_list(learned: pd.DataFrame, importances: Mapping[str, float]) -> list[dict[str, Any]]:
    """Importances with the direction in which a feature goes with approval, the most important first."""
    rows = real_rows(learned)
    approved = (rows["label"] == APPROVE).to_numpy(dtype="float64")
    ranked = sorted(importances.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"feature_name": name, "importance": value, "direction": _direction(rows[name].to_numpy(), approved)}
        for name, value in ranked
    ]


def _direction(values: np.ndarray, approved: np.ndarray) -> str:
    known = ~np.isnan(values)
    a, b = values[known], approved[known]
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return "neutral"
    return "positive" if np.corrcoef(a, b)[0, 1] > 0 else "negative"


def feature_summaries(learned: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Values and figures of each feature, as `ml_feature_baselines` holds them; missing values are left out."""
    rows = real_rows(learned)
    drawn = rows.sample(min(len(rows), _MOST_VALUES), random_state=_SEED)
    return {name: _summary(rows[name].dropna(), drawn[name].dropna()) for name in FEATURE_NAMES}


def _summary(known: pd.Series, drawn: pd.Series) -> dict[str, Any]:
    figures: dict[str, Any] = dict.fromkeys(("mean", "std", "min", "max"))
    if len(known):
        figures = {name: float(getattr(known, name)()) for name in ("mean", "min", "max")}
        figures["std"] = float(known.std(ddof=0))
    return {"values": drawn.tolist(), **figures}
