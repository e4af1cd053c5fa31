"""Settings under which a check decides nothing are named, and ordinary ones are not."""

import dataclasses
from typing import Any

import pytest

from nhm_assets.domain.idle_checks import Thresholds, remarks_on, remarks_on_own
from nhm_assets.domain.specialists import FIVE, Specialist

SOUND = Thresholds(
    precision_threshold=0.75,
    recall_threshold=0.70,
    f1_threshold=0.73,
    max_f1_regression=0.01,
    max_f1_regression_to_reference=0.02,
    gate_folds=2,
    gate_confidence=0.5,
    reference_weeks=8,
    keep_versions=20,
    shadow_plans=2000,
    shadow_agreement=0.9,
    max_rejected_fraction=0.05,
    max_feedback_age_days=7,
    feedback_window_days=30,
    served_fallback_share=0.1,
)


def sentences(**changes: Any) -> list[str]:
    return [remark.sentence for remark in remarks_on(dataclasses.replace(SOUND, **changes))]


def test_sound_settings_are_not_mentioned():
    assert sentences() == []


def test_an_f1_threshold_below_what_precision_and_recall_imply_is_named():
    (sentence,) = sentences(f1_threshold=0.72)
    assert sentence.startswith(
        "F1_THRESHOLD 0.72 decides nothing: PRECISION_THRESHOLD 0.75 and RECALL_THRESHOLD 0.7 imply an F1 of at least"
        " 0.724"
    )


@pytest.mark.parametrize(("f1", "named"), [(0.7242, False), (0.7, True), (0.8, False)])
def test_the_limit_is_the_f1_of_the_two_thresholds(f1, named):
    assert bool(sentences(f1_threshold=f1)) is named


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"precision_threshold": 0.0}, "PRECISION_THRESHOLD is 0"),
        ({"recall_threshold": 0.0}, "RECALL_THRESHOLD is 0"),
        ({"max_f1_regression": 0.27}, "MAX_F1_REGRESSION 0.27"),
        ({"max_f1_regression": 1.0}, "MAX_F1_REGRESSION 1"),
        ({"max_f1_regression_to_reference": 0.27}, "MAX_F1_REGRESSION_TO_REFERENCE 0.27"),
        ({"gate_confidence": 0.0}, "GATE_CONFIDENCE is 0"),
        ({"shadow_agreement": 0.0}, "SHADOW_AGREEMENT is 0"),
        ({"keep_versions": 7}, "KEEP_VERSIONS 7 is below REFERENCE_WEEKS 8"),
        ({"max_rejected_fraction": 1.0}, "MAX_REJECTED_FRACTION is 1"),
        ({"max_feedback_age_days": 30}, "MAX_FEEDBACK_AGE_DAYS 30"),
        ({"served_fallback_share": 1.0}, "SERVED_FALLBACK_SHARE is 1"),
    ],
)
def test_a_setting_that_takes_the_effect_from_a_check_is_named(changes, named):
    (sentence,) = sentences(**changes)
    assert sentence.startswith(named)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gate_confidence": 1.0}, "GATE_CONFIDENCE is 1"),
        ({"recall_threshold": 1.0, "f1_threshold": 0.9}, "RECALL_THRESHOLD is 1"),
        ({"precision_threshold": 1.0, "f1_threshold": 0.9}, "PRECISION_THRESHOLD is 1"),
    ],
)
def test_a_setting_with_which_nothing_is_ever_promoted_is_named(changes, named):
    (sentence,) = sentences(**changes)
    assert sentence.startswith(named)
    assert "nothing is promoted" in sentence
    assert sentences(**changes, gate_folds=0) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"max_f1_regression": 0.26},
        {"max_rejected_fraction": 0.99},
        {"served_fallback_share": 0.99},
        {"shadow_agreement": 0.01},
        {"keep_versions": 8},
        {"keep_versions": 1, "reference_weeks": 0},
        {"keep_versions": 1, "gate_folds": 0},
        {"shadow_agreement": 0.0, "shadow_plans": 0},
        {"max_feedback_age_days": 29},
        {"max_f1_regression_to_reference": 0.26},
    ],
)
def test_a_setting_with_some_effect_is_not_named(changes):
    assert sentences(**changes) == []


def own_sentences(*specialists: Specialist, **changes: Any) -> list[str]:
    return [remark.sentence for remark in remarks_on_own(dataclasses.replace(SOUND, **changes), specialists)]


def test_thresholds_of_a_specialist_that_take_the_effect_from_a_check_are_named_with_it():
    sound = Specialist("sound", thresholds={"f1": 0.9})
    idle = Specialist("idle", thresholds={"precision": 0.0})
    never = [Specialist(f"never-{number}", thresholds={"recall": 1.0, "f1": 0.95}) for number in range(7)]
    first, second = own_sentences(*FIVE, sound, idle, *never)
    assert first.startswith("With the thresholds of idle in SPECIALISTS_FILE, PRECISION_THRESHOLD is 0")
    assert second.startswith("With the thresholds of never-0, never-1, never-2, never-3, never-4 and 2 more in")
    assert "nothing is promoted" in second


def test_what_is_so_for_all_specialists_is_said_once():
    assert own_sentences(Specialist("own", thresholds={"recall": 0.8, "f1": 0.9}), gate_confidence=0.0) == []
