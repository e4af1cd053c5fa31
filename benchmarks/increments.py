"""What increments gain on feedback from the field, for docs/models.md: `python -m benchmarks.increments FOLDER`.

FOLDER holds documents as `nhm seed --from` reads them. The default forest learns older rows, calibrated as a version
is, and is frozen. Then newer rows come, 20 at a time. Before an increment learns them, three answers are scored: that
of the frozen version, that of the increment before, and that of the correction when it has learned each row up to then,
as the page of `trained_model` shows it. `make bench` leaves it out, since it takes some minutes.
"""

import math
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.calibration import frames
from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.domain.segments import temporal_segments
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.estimators.increment import FLOOR, learn_increment
from nhm_assets.feedback.splits import temporal_split

DAYS: Final = 56
"""How much of the field is read."""
WEEKS: Final = 4
"""The newest of them bring the rows that are learned."""
WINDOW: Final = timedelta(days=30)
STEP: Final = 20
"""The default of INCREMENT_THRESHOLD."""


class Gain(NamedTuple):
    """A mean difference in log loss per row to the frozen version, and its standard error. Below zero, it is better."""

    mean: float
    error: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ({self.error:.4f})"


def field(folder: Path) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """For each specialist, the scores of a version that is frozen for all weeks, and of one that is new every week."""
    found = islice(frames(folder, days=DAYS), len(all_specialists()))
    for specialist, frame in zip(all_specialists(), found, strict=True):
        end = frame["submitted_at"].max().ceil("D")
        weeks = [end - timedelta(weeks=number) for number in range(WEEKS, 0, -1)]
        yield str(specialist), "frozen once", scored(frame, weeks[0], end)
        each = [scored(frame, week, week + timedelta(weeks=1)) for week in weeks]
        yield str(specialist), "frozen weekly", pd.concat(each)


def scored(frame: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Freeze a version at the start, and bring the rows up to the end; one row of scores for each of these.

    As in the product, the version has not learned the newest 15 % of its window. They come first.
    """
    times = frame["submitted_at"]
    window = frame[(times >= start - WINDOW) & (times < start)]
    window = window.assign(split=temporal_split(window["plan_id"]))
    known = learning_rows(window)
    frozen = fit_estimator(
        known, PARAMETERS, threads=1, segments=temporal_segments(window["plan_id"])[known.index], calibration="auto"
    ).estimator
    new = frame[(times >= start - WINDOW) & (times < end) & ~frame.index.isin(known.index)]
    served, fell_back = _served(frozen, known, new)
    _, every = learn_increment(frozen, known, new, served="names")
    scores = {"frozen": every.frozen, "served": served, "each": every.corrected, "fell_back": fell_back}
    return pd.DataFrame({"plan_id": new["plan_id"].to_numpy(), **scores})


def _served(frozen: Any, known: pd.DataFrame, new: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The log loss of each row with the increment that has learned all rows before its 20, and whether it fell back."""
    losses, fell_back = [], []
    for first in range(0, len(new), STEP):
        asked, estimator = new.iloc[first : first + STEP], frozen
        if first:
            estimator, _ = learn_increment(frozen, known, new.iloc[:first], served="names")
        losses.append(_log_loss(estimator, asked))
        fell_back += [first > 0 and estimator is frozen] * len(asked)
    return np.concatenate(losses), np.array(fell_back)


def _log_loss(estimator: Any, rows: pd.DataFrame) -> np.ndarray:
    """As an increment counts it: smaller probabilities count as FLOOR."""
    answers = np.maximum(estimator.predict_proba(rows[list(FEATURE_NAMES)]), FLOOR)
    names = np.array(["reject", "approve", "review_required"])[rows["label"]]
    columns = np.searchsorted(estimator.classes_, names)
    return -np.log(answers[np.arange(len(rows)), columns] / answers.sum(axis=1))


def gain(scores: pd.DataFrame, of: str) -> Gain:
    """Of what is served, or of the correction at each row; rows of a plan count together in the error."""
    difference = scores[of] - scores["frozen"]
    by_plan = (difference - difference.mean()).groupby(scores["plan_id"].to_numpy()).sum()
    return Gain(float(difference.mean()), math.sqrt(float((by_plan**2).sum())) / len(scores))


def main(folder: Path) -> None:
    for specialist, kind, scores in field(folder):
        print(
            f"{specialist:<13} {kind:<14} {len(scores)} rows, frozen {scores['frozen'].mean():.4f};"
            f" increments {gain(scores, 'served')}; at each row {gain(scores, 'each')};"
            f" fell back {scores['fell_back'].mean():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
