"""Whether rows of a language model helped is measured on real rows."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import APPROVE, LLM, NO_FEEDBACK, SYNTHETIC, TRAIN, conform
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.training.llm_effect import llm_weights, measure_effect
from tests.support.learnable import learnable

WEIGHTED = PARAMETERS | {"llm_weight": 0.3}
FEW_TREES = WEIGHTED | {"n_estimators": 20}


def with_made_up(*, noise: float, seed: int = 1, rows: int = 300) -> pd.DataFrame:
    """So many real rows, and those of a language model, which are 30 % of the train rows."""
    count = rows * 3 // 10
    real, made = learnable(rows, noise=0.25, seed=seed), learnable(count, noise=noise, seed=seed + 100)
    names = [f"llm-{number}" for number in range(count)]
    described = {"source": LLM, "provenance": NO_FEEDBACK, "split": TRAIN}
    ids = dict.fromkeys(("feedback_id", "opinion_id", "plan_id"), names)
    return conform(pd.concat([real, made.assign(**described, **ids)], ignore_index=True))


def test_random_labels_are_reported_as_hurting():
    effect = measure_effect(with_made_up(noise=1.0, seed=2), WEIGHTED, threads=1)
    assert effect.result == "hurt"
    assert (effect.llm_rows, effect.asked_rows) == (90, 255)
    assert effect.reason.startswith("The 90 rows of a language model hurt: unset LLM_DATASET_DIR")
    assert effect.brier["with"] - effect.brier["without"] == pytest.approx(effect.difference)


def test_rows_of_the_same_world_help():
    effect = measure_effect(with_made_up(noise=0.0), FEW_TREES | {"llm_weight": 1.0}, threads=1)
    assert effect.result == "helped"
    assert effect.metrics()["llm_brier_difference"] < 0


def test_rows_that_are_not_real_are_learned_and_never_asked_about():
    frame = with_made_up(noise=0.0)
    filled = frame.assign(source=frame["source"].mask(frame["feedback_id"] < "feedback-0100", SYNTHETIC))
    assert measure_effect(filled, FEW_TREES, threads=1).asked_rows == 155


def test_test_rows_are_never_read():
    frame = with_made_up(noise=1.0)
    changed = frame.assign(label=np.where(frame["split"] == "test", 0, frame["label"]))
    assert measure_effect(frame, FEW_TREES, threads=1) == measure_effect(changed, FEW_TREES, threads=1)


def test_without_such_rows_there_is_nothing_to_measure_and_no_parameter():
    assert measure_effect(learnable(100), PARAMETERS, threads=1) is None
    assert llm_weights(learnable(100), 0.3) == {}
    assert llm_weights(with_made_up(noise=0.0), 0.3) == {"llm_weight": 0.3}


@pytest.mark.parametrize(
    "few",
    [
        lambda frame: (frame["source"] == LLM) | (frame.index % 20 == 0),
        lambda frame: (frame["source"] == LLM) | (frame["label"] != APPROVE),
    ],
    ids=["too few", "none of a class"],
)
def test_without_enough_real_rows_nothing_is_measured(few: Callable[[pd.DataFrame], pd.Series]):
    frame = with_made_up(noise=0.0)
    effect = measure_effect(frame[few(frame)], FEW_TREES, threads=1)
    assert (effect.result, effect.difference) == ("not measured", None)
    assert effect.metrics() == {"llm_rows": 90}
