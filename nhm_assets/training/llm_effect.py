"""Whether rows that a language model made help: the same fit with and without them, asked about real rows."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, by_label, own_order
from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, FEATURE_NAMES, LLM, REAL
from nhm_assets.domain.segments import segments_by_time
from nhm_assets.estimators.families.family import LLM_WEIGHT
from nhm_assets.estimators.fitting import fit_model, learning_rows

EFFECT: Final = "llm_effect.json"
"""Artifact: how the model does with and without the rows of a language model."""

_FEWEST: Final = 20
"""Real rows without which nothing is measured."""
_BLOCKS: Final = (0.2, 0.4, 0.6, 0.8)
"""Where a block ends, as a share of the plans in the order of time.

With five blocks, a fit learns about as many real rows as the version does. With the validation rows as the only block,
300 reviews were too few to see what random labels do.
"""
_ERRORS: Final = 2.0
"""Standard errors beyond which a difference counts.

They say what other plans would change. What another fit would change comes on top, about as much again.
"""


@dataclass(frozen=True)
class LlmEffect:
    """How the model does with the rows of a language model and without them, on real rows that it has not learned.

    Attributes:
        llm_rows: number of rows of the language model that were learned.
        asked_rows: number of real rows asked about; if nothing was measured, of those that could have been.
        brier, f1: with and without, of the model before its calibration; a Brier score is better if it is lower.
        difference, standard_error: Brier score with minus without; the error is that of drawing other plans. None if
            there are too few real rows.
        result: by whether the difference is larger than two standard errors.
        reason: the result in one sentence.
    """

    llm_rows: int
    asked_rows: int
    brier: dict[str, float]
    f1: dict[str, float]
    difference: float | None
    standard_error: float | None
    result: Literal["helped", "hurt", "no difference", "not measured"]
    reason: str

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """For MLflow."""
        measured = {"llm_brier_difference": self.difference, "llm_brier_standard_error": self.standard_error}
        return {"llm_rows": self.llm_rows} | {name: value for name, value in measured.items() if value is not None}


def llm_weights(frame: pd.DataFrame, weight: float) -> dict[str, float]:
    """The parameter of a model that is to learn this dataset; empty if no language model made any of its rows."""
    return {LLM_WEIGHT: weight} if (frame["source"] == LLM).any() else {}


def measure_effect(
    frame: pd.DataFrame, parameters: Mapping[str, Any], *, threads: int, served: ServedClasses = "names"
) -> LlmEffect | None:
    """Fit with and without them, ask both about real rows; None without rows of a language model.

    The real rows to learn are cut into blocks by time. Models that learned the others are asked about each block, and
    so about all of them. Nothing is chosen by the result. Test rows are neither learned nor asked about.

    Args:
        frame: the dataset.
        parameters: of the model, with the weight of these rows.
        threads: of each fit; their number does not change the result.
        served: see `fit_model`.
    """
    rows = learning_rows(frame)
    made = rows["source"] == LLM
    if not made.any():
        return None
    real = rows[rows["source"] == REAL]
    asked: list[pd.DataFrame] = []
    answers: dict[str, list[np.ndarray]] = {"with": [], "without": []}
    for block in _blocks(real):
        others = ~rows.index.isin(block.index)
        # Without rows of a class, the two answers could not be compared.
        if rows.loc[others & ~made, "label"].nunique() == rows["label"].nunique():
            asked.append(block)
            for name, learned in (("with", others), ("without", others & ~made)):
                model = fit_model(rows[learned], parameters, threads=threads, served=served)
                answers[name].append(_answers(model, block))
    if sum(map(len, asked)) < _FEWEST:
        return _not_measured(int(made.sum()), len(real))
    whole = {name: np.concatenate(parts) for name, parts in answers.items()}
    return _compared(int(made.sum()), pd.concat(asked), whole)


def _blocks(real: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows in blocks; no plan is in two of them."""
    plans = real["plan_id"].drop_duplicates()
    block_of = pd.Series(segments_by_time(len(plans), _BLOCKS), index=plans.to_numpy())
    for _, block in real.groupby(real["plan_id"].map(block_of)):
        yield block


def _compared(made: int, asked: pd.DataFrame, answers: Mapping[str, np.ndarray]) -> LlmEffect:
    labels = asked["label"].to_numpy()
    truth = np.eye(len(CLASS_NAMES))[labels]
    errors = {name: ((answer - truth) ** 2).sum(axis=1) for name, answer in answers.items()}
    difference, error = _mean_and_error(errors["with"] - errors["without"], asked["plan_id"])
    brier = {name: float(values.mean()) for name, values in errors.items()}
    f1 = {name: _f1(labels == APPROVE, answer.argmax(axis=1) == APPROVE) for name, answer in answers.items()}
    return _judged(made, len(asked), brier, f1, difference, error)


def _answers(model: Any, rows: pd.DataFrame) -> np.ndarray:
    return by_label(model.predict_proba(rows[list(FEATURE_NAMES)]), own_order(model))


def _mean_and_error(differences: np.ndarray, plans: pd.Series) -> tuple[float, float]:
    """The mean over the rows, and its standard error; rows of a plan count together."""
    mean = float(differences.mean())
    by_plan = pd.Series(differences - mean).groupby(plans.to_numpy()).sum()
    return mean, math.sqrt(float((by_plan**2).sum())) / len(differences)


def _f1(approved: np.ndarray, called: np.ndarray) -> float:
    total = int(approved.sum() + called.sum())
    return float(2 * (approved & called).sum() / total) if total else 0.0


def _judged(
    made: int, asked: int, brier: dict[str, float], f1: dict[str, float], difference: float, error: float
) -> LlmEffect:
    helped, hurt = difference < -_ERRORS * error, difference > _ERRORS * error
    result: Literal["helped", "hurt", "no difference"] = "helped" if helped else "hurt" if hurt else "no difference"
    what = {
        "helped": f"The {made} rows of a language model helped",
        "hurt": f"The {made} rows of a language model hurt: unset LLM_DATASET_DIR, or replace its file",
        "no difference": f"The {made} rows of a language model made no difference that can be seen",
    }[result]
    reason = (
        f"{what}. On {asked} real rows that the fits had not learned, the Brier score is {brier['with']:.4f} with"
        f" them and {brier['without']:.4f} without (difference {difference:+.4f}, standard error {error:.4f}; lower is"
        f" better). F1 is {f1['with']:.3f} with them and {f1['without']:.3f} without."
    )
    return LlmEffect(made, asked, brier, f1, difference, error, result, reason)


def _not_measured(made: int, real: int) -> LlmEffect:
    reason = (
        f"Whether the {made} rows of a language model helped was not measured: there are {real} real rows to learn;"
        f" at least {_FEWEST} are required, and whichever fifth of them is set aside, the rest must have every class."
    )
    return LlmEffect(made, real, {}, {}, None, None, "not measured", reason)
