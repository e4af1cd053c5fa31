"""The search over families and their parameters, on rows that are newer than those that each trial has learned."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.class_order import ServedClasses, fitted_labels
from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES
from nhm_assets.domain.errors import TooFewRows
from nhm_assets.domain.segments import TEST_SEGMENT, are_newer, segments_of, temporal_segments
from nhm_assets.estimators.families import FAMILIES, named
from nhm_assets.estimators.families.family import FAMILY
from nhm_assets.estimators.fitting import fit_model, learning_rows
from nhm_assets.training.model_size import LARGEST_MB, megabytes_of
from nhm_assets.training.search_choice import Asked, Search, Tried, as_calls, choose
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


Recall = Callable[[int, Mapping[str, Any]], Tried | None]
"""The trial with this number and these parameters, if an interrupted search has made it."""


def search_families(
    frame: pd.DataFrame,
    *,
    trials: int,
    seconds: float,
    threads: int,
    log_trial: Callable[[Tried], None],
    recall: Recall = lambda *_: None,
    served: ServedClasses = "names",
    weights: Mapping[str, float] | None = None,
    largest_mb: float = LARGEST_MB,
) -> Search:
    """Search over all families and their parameters; the test rows are not used, nor are rows that the gate asks about.

    The same rows result in the same choice, unless the time ends the search. That holds for an interrupted search, too:
    what it has tried is recalled instead of fitted, and everything else is done again.

    Args:
        frame: the dataset.
        trials: number of trials; the first ones are the families with their defaults, the default family first.
        seconds: after which no further trial begins; the first one always does.
        threads: of each fit.
        log_trial: called with each trial that was not recalled.
        recall: see `Recall`.
        served: see `fit_model`.
        weights: parameters that every trial has besides: the weight of rows that a language model made.
        largest_mb: megabytes that the file of a model may have. A larger one is not chosen.

    Raises:
        TooFewRows: there are too few rows to compare families on.
        DataError: all models are too large.

    Source: Akiba et al. (2019).
    """
    import optuna

    folds = folds_of(frame)
    if not folds:
        raise TooFewRows(
            f"there are too few rows to compare families on: a fold needs {_EACH} rows that are approve and {_EACH}"
            " that are not. Wait for more feedback, or set MODEL_FAMILY to one family"
        )
    asked, rows = _asked(folds), len(learning_rows(frame))
    tried: list[Tried] = []
    clock = _Clock()

    def score(trial: "optuna.Trial") -> float:
        parameters = _suggested(trial)
        known = recall(trial.number, parameters)
        fitted = _fitted({**parameters, **(weights or {})}, folds, threads, served, rows)
        outcome = _judged(trial, _recalled(known, folds) if known else fitted, asked, len(folds))
        too_large = (outcome["megabytes"] or 0.0) > largest_mb
        one = Tried(trial.number, parameters, **outcome, spent_s=clock.tick(known), too_large=too_large)
        tried.append(one)
        if known is None:
            log_trial(one)
        if not one.is_whole:
            raise optuna.TrialPruned
        return one.f1

    def end_in_time(study: "optuna.Study", _: "optuna.trial.FrozenTrial") -> None:
        if clock.spent_s >= seconds:
            study.stop()

    study = seeded_study(optuna.pruners.MedianPruner(n_startup_trials=len(FAMILIES)))
    for name, family in FAMILIES.items():
        study.enqueue_trial({FAMILY: name} | {f"{name}.{key}": value for key, value in family.defaults.items()})
    study.optimize(score, n_trials=trials, callbacks=[end_in_time])
    return choose(tried, asked, out_of_time=len(tried) < trials, largest_mb=largest_mb)


class _Clock:
    """The seconds that a search has taken, those of its interrupted attempts included."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._last = time.monotonic()

    def tick(self, recalled: Tried | None) -> float:
        """The seconds at the end of a trial."""
        now = time.monotonic()
        self.spent_s = recalled.spent_s if recalled else self.spent_s + now - self._last
        self._last = now
        return self.spent_s


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


def _asked(folds: Sequence[Fold]) -> Asked:
    rows = pd.concat([fold.asked for fold in folds])
    return Asked((rows["label"] == APPROVE).to_numpy(), rows["plan_id"].to_numpy())


_Answer = tuple[str, float | None]
"""What a model calls the rows of a fold; with the last fold, the megabytes of the model that learns all rows."""


def _fitted(
    parameters: Mapping[str, Any], folds: Sequence[Fold], threads: int, served: ServedClasses, rows: int
) -> Iterator[_Answer]:
    """What the model of these parameters answers for each fold; each fit waits until it is asked for.

    A model that learns all rows is larger than that of the last fold by no more than their share.
    """
    approve = fitted_labels(np.array([APPROVE]), served)[0]
    for fold in folds:
        model = fit_model(fold.learned, parameters, threads=threads, served=served)
        called = model.predict_proba(fold.asked[list(FEATURE_NAMES)]).argmax(axis=1)
        megabytes = round(megabytes_of(model) * rows / len(fold.learned), 3) if fold is folds[-1] else None
        yield as_calls(model.classes_[called] == approve), megabytes


def _recalled(known: Tried, folds: Sequence[Fold]) -> Iterator[_Answer]:
    ends = np.cumsum([0, *(len(fold.asked) for fold in folds)])
    return ((known.calls[start:end], known.megabytes) for start, end in pairwise(ends))


def _judged(trial: "optuna.Trial", answers: Iterator[_Answer], asked: Asked, folds: int) -> dict[str, Any]:
    """Ask fold by fold, until the trial is so far behind that the rest is not worth the time."""
    so_far, given_up, megabytes = "", False, None
    for number, (more, size) in enumerate(answers, 1):
        so_far += more
        f1, error = asked.f1(so_far)
        trial.report(f1, number - 1)
        given_up = number < folds and bool(trial.should_prune())
        if given_up:
            break
        megabytes = size
    scores = {"folds": number, "f1": f1, "standard_error": error}
    return {**scores, "given_up": given_up, "calls": so_far, "megabytes": megabytes}
