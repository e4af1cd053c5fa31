"""Whether rows of a language model helped is measured on real validation rows."""

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import LLM, NO_FEEDBACK, TRAIN, conform
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.training.llm_effect import llm_weights, measure_effect
from tests.support.learnable import learnable

WEIGHTED = PARAMETERS | {"n_estimators": 40, "llm_weight": 0.3}


def with_made_up(*, noise: float, seed: int = 1, count: int = 300) -> pd.DataFrame:
    """1000 real rows, and so many of a language model, which are 30 % of the train rows."""
    real, made = learnable(1000, noise=0.25, seed=seed), learnable(count, noise=noise, seed=seed + 100)
    names = [f"llm-{number}" for number in range(count)]
    described = {"source": LLM, "provenance": NO_FEEDBACK, "split": TRAIN}
    ids = dict.fromkeys(("feedback_id", "opinion_id", "plan_id"), names)
    return conform(pd.concat([real, made.assign(**described, **ids)], ignore_index=True))


@pytest.mark.parametrize("seed", [1, 2])
def test_random_labels_are_reported_as_hurting(seed: int):
    effect = measure_effect(with_made_up(noise=1.0, seed=seed), WEIGHTED, threads=2)
    assert effect.verdict == "hurt"
    assert (effect.llm_rows, effect.validation_rows) == (300, 150)
    assert effect.reason.startswith("The 300 rows of a language model hurt: unset LLM_DATASET_DIR")
    assert effect.brier["with"] - effect.brier["without"] == pytest.approx(effect.difference)


def test_rows_of_the_same_world_help():
    effect = measure_effect(with_made_up(noise=0.0), WEIGHTED | {"llm_weight": 1.0}, threads=2)
    assert effect.verdict == "helped"
    assert effect.metrics()["llm_brier_difference"] < 0


def test_validation_rows_are_what_it_is_asked_about_and_test_rows_are_never_read():
    frame = with_made_up(noise=1.0)
    changed = frame.assign(label=np.where(frame["split"] == "test", 0, frame["label"]))
    few = WEIGHTED | {"n_estimators": 5}
    assert measure_effect(frame, few, threads=1) == measure_effect(changed, few, threads=1)


def test_without_such_rows_there_is_nothing_to_measure_and_no_parameter():
    assert measure_effect(learnable(100), PARAMETERS, threads=1) is None
    assert llm_weights(learnable(100), 0.3) == {}
    assert llm_weights(with_made_up(noise=0), 0.3) == {"llm_weight": 0.3}


def test_too_few_validation_rows_measure_nothing():
    frame = with_made_up(noise=0.0)
    few = frame[(frame["split"] != "validation") | (frame.index % 20 == 0)]
    effect = measure_effect(few, WEIGHTED, threads=1)
    assert (effect.verdict, effect.difference) == ("not measured", None)
    assert effect.metrics() == {"llm_rows": 300}
