"""The picture of a report: small, whole, the same each time, and drawn from the record alone."""

import subprocess
import sys

import numpy as np
import pytest

from nhm_assets.domain.dataset_schema import APPROVE, FEATURE_NAMES, TEST
from nhm_assets.evaluation.curves import calibration, curves_of, direction, precision_recall
from nhm_assets.evaluation.report_picture import draw_report, report_figure
from nhm_assets.steps.pictures import LARGEST, drawn, markdown
from tests.support.learnable import learnable
from tests.support.pictures import cut_texts, overlapping_texts, shown_texts
from tests.support.processes import ROOT
from tests.support.reports import RULES, champion, metrics, report

LONGEST = {"specialist": "a-specialist-with-a-name-of-forty-chars-x", "version": "123456", "test_rows": 123456}


@pytest.fixture(scope="module")
def curves():
    frame = learnable(400)
    rows = frame[frame["split"] == TEST]
    probabilities = np.random.default_rng(1).dirichlet([1, 1, 1], len(rows))
    return curves_of(rows, probabilities)


@pytest.fixture(scope="module")
def reports(curves):
    return {
        "whole": report(champion=champion(0.86), curves=curves, **LONGEST),
        "without champion": report(curves=curves),
        "recorded before there were curves": report(champion=champion(0.86)),
        "nothing is approve": report(candidate=metrics(f1=0.0, precision=0.0, recall=0.0, confusion=[[0] * 3] * 3)),
        "many rows": report(candidate=metrics(confusion=[[50_000, 12_345, 5]] * 3), champion=champion(0.86)),
    }


KINDS = ("whole", "without champion", "recorded before there were curves", "nothing is approve", "many rows")


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_cut_and_none_covers_another(reports, kind):
    figure = report_figure(reports[kind], RULES)
    assert cut_texts(figure) == []
    assert overlapping_texts(figure) == []


def test_a_cut_text_and_a_covered_one_are_found(reports):
    figure = report_figure(reports["whole"], RULES)
    figure.text(0.99, 0.5, "beyond the right edge")
    figure.text(0.3, 0.5, "one")
    figure.text(0.3, 0.5, "two")
    assert cut_texts(figure) == ["beyond the right edge"]
    assert ("one", "two") in overlapping_texts(figure)


def test_the_picture_shows_both_models_what_is_required_and_the_direction_of_features(curves):
    directed = curves.model_copy(update={"directions": {"risk_score": -0.6, "complexity_score": 0.4}})
    texts = {
        text.get_text() for text in shown_texts(report_figure(report(champion=champion(0.86), curves=directed), RULES))
    }
    assert {"Candidate, version 2", "Champion, version 1", "86%\n60"} <= texts
    assert {"0.400, more of it: not approve", "0.100, more of it: approve", "0.000"} <= texts


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_is_small_and_the_same_each_time(reports, kind):
    first, second = (draw_report(reports[kind], RULES) for _ in range(2))
    assert first == second
    assert len(markdown("picture", first)) < LARGEST


def test_drawing_leaves_matplotlib_as_it_was_and_uses_no_pyplot():
    program = """
import sys, matplotlib
# Reading `backend` would look for a screen.
settings = lambda: {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
from nhm_assets.evaluation.report_picture import draw_report
from tests.support.reports import RULES, report
draw_report(report(), RULES)
assert before == settings()
print('matplotlib.pyplot' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_picture_that_cannot_be_drawn_is_a_warning():
    warnings: list[str] = []

    def fails() -> bytes:
        raise ValueError("no font")

    assert drawn(fails, warnings.append) is None
    assert warnings == ["a picture was not drawn (ValueError: no font), so it is missing in Dagster and in MLflow"]


def test_precision_and_recall_are_those_of_scikit_learn():
    from sklearn.metrics import precision_recall_curve

    random = np.random.default_rng(2)
    approved, score = random.random(40) < 0.4, random.choice([0.1, 0.3, 0.5, 0.7, 0.9], 40)
    precision, recall, thresholds = precision_recall_curve(approved, score)
    expected = list(zip(thresholds.round(4), precision.round(4)[:-1], recall.round(4)[:-1], strict=True))
    found = [(one.threshold, one.precision, one.recall) for one in precision_recall(approved, score)]
    assert found == expected[::-1]
    assert precision_recall(np.zeros(3, dtype=bool), score[:3]) == []
    assert len(precision_recall(random.random(5000) < 0.4, random.random(5000))) == 50


def test_calibration_counts_every_row_once():
    random = np.random.default_rng(3)
    approved, score = random.random(210) < 0.4, random.random(210)
    bins = calibration(approved, score)
    assert len(bins) == 10
    assert sum(one.rows for one in bins) == 210
    assert sum(one.approvals for one in bins) == approved.sum()
    assert [one.predicted for one in bins] == sorted(one.predicted for one in bins)
    assert len(calibration(approved[:7], score[:7])) == 1


def test_directions_are_rank_correlations_over_the_rows_where_the_feature_is_known():
    score = np.array([0.1, 0.2, 0.3, 0.9])
    assert direction(np.array([1.0, 2.0, 3.0, 1000.0]), score) == 1.0
    assert direction(np.array([3.0, 2.0, np.nan, 1.0]), score) == -1.0
    assert direction(np.full(4, 2.0), score) == 0.0
    assert direction(np.full(4, np.nan), score) == 0.0


def test_curves_are_of_every_feature(curves):
    assert set(curves.directions) == set(FEATURE_NAMES)
    assert APPROVE == 1
