"""The same forest is fitted once: candidate and folds of the gate share the one that learned the oldest rows."""

import numpy as np
import pytest

from nhm_assets.domain.dataset_schema import FEATURE_NAMES, TEST
from nhm_assets.domain.segments import segments_of
from nhm_assets.estimators import recent_fits
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.fitting import fit_model
from nhm_assets.estimators.recent_fits import fit_once
from tests.support.learnable import learnable
from tests.support.versions import FEW_TREES

ROWS = learnable(60)


@pytest.fixture(autouse=True)
def fitted_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of rows of each real fit, in a process that has fitted nothing yet."""
    counted: list[int] = []

    def counting(rows, *arguments, **options):
        counted.append(len(rows))
        return fit_model(rows, *arguments, **options)

    monkeypatch.setattr(recent_fits, "_kept", {})
    monkeypatch.setattr(recent_fits, "fit_model", counting)
    return counted


def test_the_same_rows_are_fitted_once_whatever_the_threads(fitted_rows: list[int]):
    first, second = (fit_once(ROWS.copy(), FEW_TREES, threads=threads) for threads in (1, 2))
    assert first is second
    assert fitted_rows == [60]


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": ROWS.assign(num_tasks=ROWS["num_tasks"] + 1e-9)},
        {"rows": ROWS.assign(label=(ROWS["label"] + 1) % 3)},
        {"rows": ROWS[::-1]},
        {"rows": ROWS[:59]},
        {"parameters": FEW_TREES | {"random_state": 1}},
        {"served": "codes"},
    ],
)
def test_another_fit_is_another_forest(changed: dict, fitted_rows: list[int]):
    arguments = {"rows": ROWS, "parameters": FEW_TREES, "threads": 1}
    fit_once(**arguments)
    forest = fit_once(**arguments | changed)
    assert len(fitted_rows) == 2
    outside = fit_model(**arguments | changed)
    features = ROWS[list(FEATURE_NAMES)]
    assert np.array_equal(forest.predict_proba(features), outside.predict_proba(features))
    assert list(forest.classes_) == list(outside.classes_)


def test_only_the_last_few_are_kept(fitted_rows: list[int]):
    for count in range(40, 60):
        fit_once(ROWS[:count], FEW_TREES, threads=1)
    assert len(recent_fits._kept) == recent_fits._MOST
    fit_once(ROWS[:59], FEW_TREES, threads=1)
    assert len(fitted_rows) == 20


def test_candidate_and_both_folds_take_four_fits(fitted_rows: list[int]):
    """The earlier forest of the candidate is fold 1, and the earlier one of fold 2."""
    frame = learnable(600, noise=0.3)
    segments = segments_of(frame)
    assert (segments == 3).sum() == (frame["split"] == TEST).sum() == 90
    for below in (3, 1, 2):
        learned = frame[segments < below]
        found = fit_estimator(learned, FEW_TREES, threads=1, segments=segments[learned.index], calibration="sigmoid")
        assert found.calibration.method == "sigmoid"
    assert fitted_rows == [510, 330, 214, 420]
