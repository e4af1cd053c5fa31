"""The picture of a week: small, whole, the same each time, and drawn from the record alone."""

import json

import pytest

from nhm_assets.domain.drift_records import Drift, Shift
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.served.served_picture import draw_week, week_figure
from nhm_assets.steps.pictures import LARGEST
from tests.support.pictures import cut_texts, overlapping_texts, shown_texts
from tests.support.processes import ROOT

STORED = json.loads((ROOT / "tests/data/records/ServedQuality.3.json").read_text())
NAMES = ("total_anti_pattern_penalty", "avg_task_complexity_factor", "num_anti_patterns_detected", "risk_score")
DRIFT = Drift(
    learned=1000,
    plans=200,
    answers=200,
    labels=80,
    important=["risk_score"],
    of_features=[Shift(name=name, psi=0.9 / (place + 1), bar=0.09) for place, name in enumerate(NAMES)],
    of_answers=[Shift(name="confidence", psi=0.02, bar=0.3), Shift(name="risk", psi=0.2, bar=0.1)],
    of_labels=[Shift(name="labels", psi=0.01, bar=0.05)],
)
WHOLE = ServedQuality.model_validate(STORED).model_copy(
    update={"drift": DRIFT, "specialist": "a-specialist-with-a-name-of-forty-chars-x", "version": "123456"}
)
WEEKS = {
    "whole": WHOLE,
    "nothing measured": WHOLE.model_copy(
        update={"drift": None, "checked": [], "estimate": None, "ab_test": None, "version": None}
    ),
    "too few reviewed": WHOLE.model_copy(update={"ab_test": WHOLE.ab_test.model_copy(update={"auc": None})}),
}


@pytest.mark.parametrize("kind", WEEKS)
def test_no_text_is_cut_and_none_covers_another(kind: str):
    figure = week_figure(WEEKS[kind])
    assert cut_texts(figure) == []
    assert overlapping_texts(figure) == []


def test_the_picture_names_what_moved_and_both_versions_of_the_test():
    texts = [text.get_text() for text in shown_texts(week_figure(WHOLE))]
    assert {*NAMES, "confidence", "risk", "labels"} <= set(texts)
    assert "version 4 minus 3" in texts
    assert "no test" in [text.get_text() for text in shown_texts(week_figure(WEEKS["nothing measured"]))]


def test_the_same_week_gives_the_same_bytes_and_few_of_them():
    assert draw_week(WHOLE) == draw_week(WHOLE)
    assert len(draw_week(WHOLE)) < LARGEST
