"""What a search over families has tried, and its choice: the simplest trial that is not clearly worse than the best.

Trials are compared on the same rows. Two models err mostly on the same plans, so their difference is known much better
than the F1 of each.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nhm_assets.estimators.families import FAMILIES, family_of, searched_for
from nhm_assets.estimators.families.family import FAMILY
from nhm_assets.training.model_size import LARGEST_MB, TOO_LARGE, all_too_large

_APPROVE, _OTHER = "1", "0"


@dataclass(frozen=True)
class Asked:
    """The rows that the folds ask about, fold by fold.

    Attributes:
        approved: whether each is labelled approve; shape (n,).
        plans: the id of its plan; shape (n,).
    """

    approved: np.ndarray
    plans: np.ndarray

    def f1(self, calls: str) -> tuple[float, float]:
        """F1 of these calls of the first rows, and its standard error."""
        size = len(calls)
        return f1_with_error(self.approved[:size], as_called(calls), self.plans[:size])

    def difference_error(self, one: str, other: str) -> float:
        """The standard error of the difference in F1 of two models that called all rows.

        One plan more than they differ on counts, so that they are not clearly different because of a single one.

        Source: as `f1_with_error`; Agresti & Min (2005), Statistics in Medicine 24, 729, for the plan more.
        """
        influences = [_f1(self.approved, as_called(calls))[1] for calls in (one, other)]
        squares = _by_plan(influences[0] - influences[1], self.plans) ** 2
        return math.sqrt(squares.sum() + squares.max())


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: from 0 on; 0 is the default family with its defaults.
        parameters: of the model; they name its family unless it is the default one.
        folds: number of folds that it was asked about; fewer than all if it was given up.
        f1, standard_error: of approve, over the rows of these folds; the error is that of drawing other plans.
        given_up: whether it was far behind the others on the first folds.
        calls: a character per row of these folds: 1 if the model calls it approve, else 0.
        spent_s: seconds of the search until its end, those of interrupted attempts included.
        megabytes: that the file of a model which learned all rows would have, at most; None if the trial was given up.
        too_large: whether that is more than pods can have.
    """

    number: int
    parameters: dict[str, Any]
    folds: int
    f1: float
    standard_error: float
    given_up: bool
    calls: str = field(repr=False)
    spent_s: float = field(compare=False)
    megabytes: float | None = field(default=None, compare=False)
    too_large: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it was asked about all folds, and pods can have its model."""
        return not (self.given_up or self.too_large)

    @property
    def family(self) -> str:
        """The name of its family."""
        return family_of(self.parameters).name

    def shown(self) -> dict[str, Any]:
        """As JSON, with the name of its family and without the calls."""
        return {FAMILY: self.family} | {name: value for name, value in asdict(self).items() if name != "calls"}


@dataclass(frozen=True)
class Search:
    """What was tried, and which of it was chosen.

    Attributes:
        chosen: the simplest trial that is at most one standard error behind the best.
        errors: the standard error of the difference in F1 to the best trial, by the number of each whole trial.
        rows: number of rows that a whole trial was asked about.
        out_of_time: whether TUNING_SECONDS ended the search; then another run may try more and choose otherwise.
    """

    tried: tuple[Tried, ...]
    chosen: Tried
    best: Tried
    errors: Mapping[int, float]
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
                f"is the simplest within one standard error of the best, {best.family} (trial {best.number}):"
                f" {best.f1 - chosen.f1:.3f} behind its F1 on the same rows (standard error"
                f" {self.errors[chosen.number]:.3f})"
            )
        large = sum(one.too_large for one in self.tried)
        left_out = f". {large} of the trials {'is' if large == 1 else 'are'} {TOO_LARGE}" if large else ""
        ended = ". TUNING_SECONDS ended the search before TUNING_TRIALS" if self.out_of_time else ""
        return f"Of {len(self.tried)} trials, {which}, {why}{left_out}{ended}."


def as_calls(called: np.ndarray) -> str:
    """Whether a model calls each row approve, as a character per row."""
    return "".join(np.where(called, _APPROVE, _OTHER))


def as_called(calls: str) -> np.ndarray:
    """The inverse of `as_calls`; shape (n,)."""
    return np.frombuffer(calls.encode(), dtype="S1") == _APPROVE.encode()


def choose(tried: Sequence[Tried], asked: Asked, *, out_of_time: bool, largest_mb: float = LARGEST_MB) -> Search:
    """The simplest trial within one standard error of the best; the error is that of the difference on the same rows.

    An ensemble is chosen only if it is better than every single model by more than that.

    Raises:
        DataError: the models of all trials are too large.

    Source: Breiman et al. (1984), section 3.4.3, for the rule of one standard error; Yates, Richards & Brook (2021),
    Ecology 102, e03475, for taking the error of the difference instead of that of the best one's own score.
    """
    whole = [one for one in tried if one.is_whole]
    if not whole:
        raise all_too_large((one.megabytes for one in tried), largest_mb)
    best = max(whole, key=lambda one: (one.f1, -one.number))
    errors = {one.number: asked.difference_error(one.calls, best.calls) for one in whole}
    near = [one for one in whole if best.f1 - one.f1 <= errors[one.number] and _is_worth_it(one, whole, asked)]
    chosen = min(near, key=_effort)
    return Search(tuple(tried), chosen, best, errors, len(asked.plans), out_of_time)


def _is_worth_it(one: Tried, whole: Sequence[Tried], asked: Asked) -> bool:
    """Whether an ensemble is better than the best single model by more than one standard error; others always are."""
    singles = [other for other in whole if not family_of(other.parameters).ensemble]
    if one in singles or not singles:
        return True
    best = max(singles, key=lambda other: (other.f1, -other.number))
    return one.f1 - best.f1 > asked.difference_error(one.calls, best.calls)


def _effort(one: Tried) -> tuple[float, ...]:
    """How much there is to understand: the family, then whether parameters were searched for; then the better one."""
    return family_of(one.parameters).complexity, searched_for(one.parameters), -one.f1, one.number


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
    f1, influence = _f1(approved, called)
    return f1, math.sqrt((_by_plan(influence, plans) ** 2).sum())


def _f1(approved: np.ndarray, called: np.ndarray) -> tuple[float, np.ndarray]:
    """F1, and the influence of each row on it."""
    both, total = approved & called, int(approved.sum() + called.sum())
    if total == 0:
        return 0.0, np.zeros(len(approved))
    f1 = float(2 * both.sum() / total)
    return f1, (2.0 * both - f1 * (approved.astype("float64") + called)) / total


def _by_plan(influence: np.ndarray, plans: np.ndarray) -> np.ndarray:
    """The influence of each plan: that of its rows together."""
    return pd.Series(influence).groupby(plans).sum().to_numpy()


def table_rows(search: Search) -> Iterator[tuple[object, ...]]:
    """Trials, the best first, each with its size and what became of it; see `search_picture` for the columns."""
    for one in sorted(search.tried, key=lambda one: (not one.is_whole, -one.f1, one.number)):
        behind = search.best.f1 - one.f1 if one.is_whole else None
        error = search.errors.get(one.number)
        compared = one.f1, one.standard_error, behind, error
        yield one.number, one.family, *compared, one.folds, one.megabytes, _fate(one, search)


def _fate(one: Tried, search: Search) -> str:
    if one.given_up:
        return "given up"
    if one.too_large:
        return TOO_LARGE
    return "chosen" if one is search.chosen else "best" if one is search.best else ""
