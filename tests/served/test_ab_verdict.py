"""What is said of an A/B test."""

from datetime import timedelta

import numpy as np
import pytest

from nhm_assets.domain.ab_records import LIVE, AbTest, Difference
from nhm_assets.served.ab_interval import FEWEST, paired
from nhm_assets.served.ab_verdict import verdict_of
from tests.support.documents import NOW

TEST = AbTest(
    id="ab_test:1",
    specialist="technical",
    model="technical-evaluator",
    champion="3",
    challenger="7",
    mode="replay",
    split=0.9,
    seed="seed",
    started_at=NOW - timedelta(days=2),
    until=NOW + timedelta(days=5),
    min_samples=100,
)
UP = Difference(champion=0.80, challenger=0.85, low=0.01, high=0.09)
DOWN = Difference(champion=0.80, challenger=0.75, low=-0.09, high=-0.01)
EQUAL = Difference(champion=0.80, challenger=0.81, low=-0.03, high=0.05)


@pytest.mark.parametrize(
    ("auc", "precision", "word"),
    [
        (UP, EQUAL, "better"),
        (UP, None, "better"),
        (EQUAL, UP, "better"),
        (DOWN, EQUAL, "worse"),
        (DOWN, DOWN, "worse"),
        (UP, DOWN, "mixed"),
        (EQUAL, EQUAL, "no difference"),
        (EQUAL, None, "no difference"),
        (None, None, "too few"),
    ],
)
def test_the_word_follows_from_both_figures(auc, precision, word: str):
    found = verdict_of(TEST, answered=400, reviewed=200, auc=auc, precision=precision, over=False)
    assert found.word == word


def test_a_verdict_says_which_version_is_better_by_how_much_and_on_what():
    found = verdict_of(TEST, answered=400, reviewed=200, auc=UP, precision=None, over=False)
    assert found.sentence == (
        "Version 7 is better than version 3: AUC 0.850 against 0.800 (+0.050, between +0.010 and +0.090), on 200"
        " reviewed plans."
    )


def test_a_live_verdict_counts_the_plans_of_the_version_that_has_fewer():
    live = TEST.model_copy(update={"mode": LIVE})
    found = verdict_of(live, answered=400, reviewed=120, auc=UP, precision=None, over=False)
    assert found.sentence.endswith(", on at least 120 reviewed plans of each.")


def test_without_a_difference_the_end_of_the_test_makes_a_difference_to_the_words():
    so_far, over = (
        verdict_of(TEST, answered=400, reviewed=200, auc=EQUAL, precision=None, over=over).sentence
        for over in (False, True)
    )
    assert so_far.startswith("No difference between version 7 and version 3 so far: AUC")
    assert over.startswith("No difference between version 7 and version 3 was found: AUC")


def test_too_few_reviewed_plans_are_counted():
    found = verdict_of(TEST, answered=400, reviewed=99, auc=UP, precision=UP, over=True)
    assert found.word == "too few"
    assert found.sentence == (
        "Too few reviewed plans to say anything: 99. Needed are 100, and among them 20 that people approved and 20 that"
        " they did not, or 20 with a confidence of 0.8 or more from each version."
    )


def test_what_the_sentence_asks_for_is_what_the_figures_need():
    """Each of the two kinds of plans is enough by itself, and one plan fewer is not."""
    draw = np.random.default_rng(1)
    champion, challenger = draw.uniform(0, 0.7, (2, 100))
    approved = np.arange(100) < FEWEST
    auc, precision = paired(champion, challenger, approved)
    assert (auc is None, precision is None) == (False, True)
    assert paired(champion, challenger, np.arange(100) < FEWEST - 1) == (None, None)
    sure = np.where(np.arange(100) < FEWEST, 0.8, champion)
    auc, precision = paired(sure, sure, np.ones(100, dtype="bool"))
    assert (auc is None, precision is None) == (True, False)
    sure[0] = 0.79
    assert paired(sure, sure, np.ones(100, dtype="bool")) == (None, None)


def test_a_live_test_whose_class_never_answers_says_so():
    live = TEST.model_copy(update={"mode": LIVE})
    found = verdict_of(live, answered=0, reviewed=0, auc=None, precision=None, over=False)
    assert found.word == "no answers"
    assert "No opinion carries the marks of ABTestingSpecialist" in found.sentence
    assert "--mode replay" in found.sentence
    replayed = verdict_of(TEST, answered=0, reviewed=0, auc=None, precision=None, over=False)
    assert "by version 3 since the test began" in replayed.sentence


def test_a_test_runs_until_its_days_are_over_or_somebody_stops_it():
    assert not TEST.runs_at(TEST.started_at - timedelta(seconds=1))
    assert TEST.runs_at(TEST.started_at)
    assert not TEST.runs_at(TEST.until)
    stopped = TEST.model_copy(update={"ended_at": NOW})
    assert (stopped.runs_at(NOW - timedelta(seconds=1)), stopped.runs_at(NOW)) == (True, False)
    assert stopped.as_of(NOW - timedelta(days=1)) == TEST
    assert stopped.as_of(NOW) == stopped
