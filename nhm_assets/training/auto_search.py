"""The search over families and their parameters, on rows that are newer than those that each trial has learned."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.segments import TEST_SEGMENT, are_newer, segments_of, temporal_segments
from nhm_assets.estimators.families import FAMILIES, family_of, named, searched_for
from nhm_assets.estimators.families.family import FAMILY
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.training.tuning import seeded_study

if TYPE_CHECKING:
    import optuna

_OLDEST, _VALIDATION = 0, TEST_SEGMENT - 1
_OLDEST_CUT: Final = 0.65
_HALVES: Final = (0.5,)
_EACH: Final = 5
"""Rows that are approve, and rows that are not, that a fold needs."""


@dataclass(frozen=True)
class Fold:
    """Rows that a trial learns, and newer rows that it is asked about. No plan is among both."""

    learned: pd.DataFrame
    asked: pd.DataFrame


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: from 0 on; 0 is the default family with its defaults.
        parameters: of the model; they name its family unless it is the default one.
        folds: number of folds that it was asked about; fewer than all if it was given up.
        f1, standard_error: of approve, over the rows of these folds; the error is that of drawing other plans.
        given_up: whether it was far behind the others on the first folds.
    """

    number: int
    parameters: dict[str, Any]
    folds: int
    f1: float
    standard_error: float
    given_up: bool

    @property
    def family(self) -> str:
        """The name of its family."""
        return family_of(self.parameters).name

    def shown(self) -> dict[str, Any]:
        """As JSON, with the name of its family."""
        return {FAMILY: self.family} | asdict(self)


@dataclass(frozen=True)
class Search:
    """What was tried, and which of it was chosen.

    Attributes:
        chosen: the simplest trial that is at most one standard error below the best.
        rows: number of rows that a whole trial was asked about.
        out_of_time: whether TUNING_SECONDS ended the search; then another run may try more and choose otherwise.
    """

    tried: tuple[Tried, ...]
    chosen: Tried
    best: Tried
    rows: int
    out_of_time: bool

    @property
    def families(self) -> tuple[str, ...]:
        """The families that were tried, the simplest first."""
        return tuple(sorted({one.family for one in self.tried}, key=lambda name: FAMILIES[name].complexity))

    @property
    def reason(self) -> str:
        """Why this trial, in one sentence."""
        best, chosen = self.best, self.chosen
        which = f"{chosen.family} (trial {chosen.number}), F1 {chosen.f1:.3f} on {self.rows} rows"
        if chosen is best:
            why = "is the best, and nothing simpler comes within one standard error"
        else:
            why = (
                f"is the simplest within one standard error ({best.standard_error:.3f}) of the best, {best.family}"
                f" (trial {best.number}) with F1 {best.f1:.3f}"
            )
        ended = ". TUNING_SECONDS ended the search before TUNING_TRIALS" if self.out_of_time else ""
        return f"Of {len(self.tried)} trials, {which}, {why}{ended}."


def search_families(
    frame: pd.DataFrame,
    *,
    trials: int,
    seconds: float,
    threads: int,
    log_trial: Callable[[Tried], None],
    served: ServedClasses = "names",
    weights: Mapping[str, float] | None = None,
) -> Search:
    """Search over all families and their parameters; the test rows are not used, nor are rows that the gate asks about.

    The same rows result in the same choice, unless the time ends the search.

    Args:
        frame: the dataset.
        trials: number of trials; the first ones are the families with their defaults, the default family first.
        seconds: after which no further trial begins; the first one always does.
        threads: of each fit.
        log_trial: called with each trial.
        served: see `fit_model`.
        weights: parameters that every trial has besides: the weight of rows that a language model made.

    Raises:
        DataError: there are too few rows to compare families on.

    Source: Akiba et al. (2019) for the search; Breiman et al. (1984) for the rule of one standard error.
    """
    import optuna

    folds = folds_of(frame)
    if not folds:
        raise DataError(
            f"there are too few rows to compare families on: a fold needs {_EACH} rows that are approve and {_EACH}"
            " that are not. Wait for more feedback, or set MODEL_FAMILY to one family"
        )
    tried: list[Tried] = []
    approve = fitted_labels(np.array([APPROVE]), served)[0]

    def called(learned: pd.DataFrame, asked: pd.DataFrame, parameters: dict[str, Any]) -> np.ndarray:
        model = fit_model(learned, {**parameters, **(weights or {})}, threads=threads, served=served)
        chosen = model.predict_proba(asked[list(FEATURE_NAMES)]).argmax(axis=1)
        return np.asarray(model.classes_[chosen] == approve)

    def score(trial: "optuna.Trial") -> float:
        parameters = _suggested(trial)
        one = _tried(trial, parameters, folds, called)
        tried.append(one)
        log_trial(one)
        if one.given_up:
            raise optuna.TrialPruned
        return one.f1

    study = seeded_study(optuna.pruners.MedianPruner(n_startup_trials=len(FAMILIES)))
    for name, family in FAMILIES.items():
        study.enqueue_trial({FAMILY: name} | {f"{name}.{key}": value for key, value in family.defaults.items()})
    # The default family is tried whatever the time.
    ends = time.monotonic() + seconds
    study.optimize(score, n_trials=1)
    if trials > 1 and (left := ends - time.monotonic()) > 0:
        study.optimize(score, n_trials=trials - 1, timeout=left)
    rows = sum(len(fold.asked) for fold in folds)
    return _search(tried, rows, out_of_time=len(tried) < trials)


def folds_of(frame: pd.DataFrame) -> list[Fold]:
    """The folds of the search, oldest first: within the oldest segment, and the two halves of the validation rows.

    Fold 1 of the gate is asked about the segment between them, which no trial is asked about. Fold 2 is asked about
    the validation rows, so the gate leaves it out.
    """
    segments = segments_of(frame)
    oldest, validation = frame[segments == _OLDEST], frame[segments == _VALIDATION]
    newer = are_newer(oldest, _OLDEST_CUT)
    later = temporal_segments(validation["plan_id"], _HALVES) > 0
    before = frame[segments < _VALIDATION]
    found = [
        Fold(oldest[~newer], oldest[newer]),
        Fold(before, validation[~later]),
        Fold(pd.concat([before, validation[~later]]), validation[later]),
    ]
    return [fold for fold in found if _is_usable(fold)]


def _is_usable(fold: Fold) -> bool:
    approved = int((fold.asked["label"] == APPROVE).sum())
    return min(approved, len(fold.asked) - approved) >= _EACH and len({*(fold.learned["label"] == APPROVE)}) > 1


@dataclass(frozen=True)
class _Within:
    """A trial that one family is asked for its parameters; those of another family may have the same names."""

    trial: "optuna.Trial"
    family: str

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return self.trial.suggest_int(f"{self.family}.{name}", low, high, log=log)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.trial.suggest_float(f"{self.family}.{name}", low, high, log=log)


def _suggested(trial: "optuna.Trial") -> dict[str, Any]:
    family = FAMILIES[trial.suggest_categorical(FAMILY, list(FAMILIES))]
    return named(family, {**family.defaults, **family.search_space(_Within(trial, family.name))})


def _tried(
    trial: "optuna.Trial",
    parameters: dict[str, Any],
    folds: Sequence[Fold],
    ask: Callable[[pd.DataFrame, pd.DataFrame, dict[str, Any]], np.ndarray],
) -> Tried:
    """Fit and ask, fold by fold, until the trial is so far behind that the rest is not worth the time."""
    approved, called, plans = [], [], []
    for number, fold in enumerate(folds):
        called.append(ask(fold.learned, fold.asked, parameters))
        approved.append((fold.asked["label"] == APPROVE).to_numpy())
        plans.append(fold.asked["plan_id"].to_numpy())
        f1, error = f1_with_error(*map(np.concatenate, (approved, called, plans)))
        trial.report(f1, number)
        given_up = number + 1 < len(folds) and trial.should_prune()
        if given_up:
            break
    return Tried(trial.number, parameters, number + 1, f1, error, given_up)


def f1_with_error(approved: np.ndarray, called: np.ndarray, plans: np.ndarray) -> tuple[float, float]:
    """F1 of approve, and its standard error; rows of a plan count together.

    Args:
        approved: whether each row is labelled approve; shape (n,).
        called: whether the model calls it approve; shape (n,).
        plans: its plan's id; shape (n,).

    Returns:
        F1 and its standard error; both 0 if nothing is labelled or called approve.

    Source: the limit of the bootstrap over plans, by the influence of each (Efron & Tibshirani 1993, chapter 22).
    """
    both, total = approved & called, int(approved.sum() + called.sum())
    if total == 0:
        return 0.0, 0.0
    f1 = 2 * both.sum() / total
    influence = (2.0 * both - f1 * (approved.astype("float64") + called)) / total
    by_plan = pd.Series(influence).groupby(plans).sum()
    return float(f1), math.sqrt(float((by_plan**2).sum()))


def _search(tried: Sequence[Tried], rows: int, *, out_of_time: bool) -> Search:
    whole = [one for one in tried if not one.given_up]
    best = max(whole, key=lambda one: (one.f1, -one.number))
    near = [one for one in whole if one.f1 >= best.f1 - best.standard_error and _is_worth_it(one, whole)]
    return Search(tuple(tried), min(near, key=_effort), best, rows, out_of_time)


def _is_worth_it(one: Tried, whole: Sequence[Tried]) -> bool:
    """Whether an ensemble is better than every single model by more than its standard error; others always are."""
    if not family_of(one.parameters).ensemble:
        return True
    singles = [other.f1 for other in whole if not family_of(other.parameters).ensemble]
    return one.f1 - one.standard_error > max(singles, default=-1.0)


def _effort(one: Tried) -> tuple[float, ...]:
    """How much there is to understand: the family, then whether parameters were searched for; then the better one."""
    return family_of(one.parameters).complexity, searched_for(one.parameters), -one.f1, one.number


def table_rows(search: Search) -> Iterator[tuple[object, ...]]:
    """Trials, the best first: number, family, F1, its standard error, folds, and what became of it."""
    for one in sorted(search.tried, key=lambda one: (one.given_up, -one.f1, one.number)):
        fate = "given up" if one.given_up else "best" if one is search.best else ""
        fate = "chosen" if one is search.chosen else fate
        yield one.number, one.family, one.f1, one.standard_error, one.folds, fate
