"""What is kept of the rows that a version learned."""

import math

import numpy as np
import pytest

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.drift.baseline import Baseline, background, feature_summaries, importance_list
from tests.support.learnable import learnable


def test_the_baseline_holds_features_labels_and_what_is_important():
    rows = learnable(300)
    importances = dict.fromkeys(FEATURE_NAMES, 0.0) | {"density": 0.1, "risk_score": 0.4, "num_tasks": -0.1}
    made = Baseline.of(rows, {"confidence": np.linspace(0, 1, 50)}, importances, top=5)
    assert (made.rows, made.synthetic, made.important) == (300, False, ["risk_score", "density"])
    assert set(made.features) == set(FEATURE_NAMES)
    assert made.features["mean_norm"].counts == [0, 300]
    assert made.labels.counts == [int((rows["label"] == label).sum()) for label in (0, 1, 2)]
    assert made.answers["confidence"].rows == 50
    assert Baseline.model_validate_json(made.model_dump_json()) == made


def test_synthetic_rows_count_only_where_there_are_no_others():
    rows = learnable(300)
    rows.loc[:99, "source"] = "synthetic"
    assert Baseline.of(rows, {}, {}, top=5).rows == 200
    made = Baseline.of(rows.assign(source="synthetic"), {}, {}, top=5)
    assert (made.rows, made.synthetic) == (300, True)


def test_rows_without_stored_embeddings_are_left_out_of_what_embeddings_are_compared_with():
    rows = learnable(300)
    rows.loc[:9, "density"] = math.nan
    rows.loc[:99, "mean_norm"] = np.arange(100.0)
    made = Baseline.of(rows, {}, {}, top=5)
    assert made.features["mean_norm"].counts == [*[10] * 10, 0]
    assert made.features["std_norm"].counts == [0, 300]
    assert made.features["density"].counts[-1] == 10


def test_the_summary_of_a_feature_has_few_values_and_no_missing_ones():
    rows = learnable(1500)
    rows.loc[:10, "density"] = math.nan
    found = feature_summaries(rows)
    assert len(found["risk_score"]["values"]) == 1000
    assert found["density"]["mean"] == pytest.approx(rows["density"].mean())
    assert found["mean_norm"] == {"values": [], "mean": None, "std": None, "min": None, "max": None}
    assert feature_summaries(rows) == found
    assert len(background(rows)) == 100


def test_importances_say_in_which_direction_a_feature_goes_with_approval():
    rows = learnable(300)
    rows["density"] = (rows["label"] == 1).astype("float64")
    found = importance_list(rows, {"risk_score": 0.1, "density": 0.3, "mean_norm": 0.0})
    assert [one["feature_name"] for one in found] == ["density", "risk_score", "mean_norm"]
    assert (found[0]["direction"], found[2]["direction"]) == ("positive", "neutral")
