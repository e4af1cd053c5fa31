"""Rows of a language model: which of a file are added to a dataset, and that nothing else changes."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import (
    COMPUTED_FEATURES,
    EMBEDDING_FEATURES,
    FEATURE_NAMES,
    LLM,
    REAL,
    TEST,
    TRAIN,
    data_source,
    data_version,
    schema_faults,
)
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.evidence import judge_evidence
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.segments import segments_of
from nhm_assets.domain.selection import LlmRules
from nhm_assets.feedback.dataset_rules import QualityRules, judge_dataset
from nhm_assets.feedback.llm_agreement import ON_TRUST
from nhm_assets.feedback.llm_rows import Added, llm_file, with_llm_rows
from tests.support.documents import WEEK
from tests.support.learnable import learnable

PARTITION = Partition.parse(WEEK, "technical")
REAL_ROWS = learnable(200, seed=3)
"""140 of them are train rows."""


def made_up(count: int = 400, *, seed: int = 9, **columns: Any) -> pd.DataFrame:
    """A file as others make it: 26 float64 features and labels from 0 to 3."""
    draw = np.random.default_rng(seed)
    values = {name: draw.random(count) for name in COMPUTED_FEATURES} | dict.fromkeys(EMBEDDING_FEATURES, math.nan)
    rows = pd.DataFrame(values)[list(FEATURE_NAMES)].assign(label=draw.integers(4, size=count))
    return rows.assign(**columns)


def add(
    folder: Path,
    made: pd.DataFrame,
    real: pd.DataFrame = REAL_ROWS,
    *,
    share: float = 0.3,
    conditional: Any = "drop",
) -> Added:
    made.to_parquet(llm_file(folder, "technical"), index=False)
    return with_llm_rows(real, PARTITION, LlmRules(folder, share, conditional))


def of_llm(added: Added) -> pd.DataFrame:
    return added.frame[added.frame["source"] == LLM]


def test_they_are_train_rows_at_most_30_percent_of_them_and_the_others_stay_as_they_are(tmp_path: Path):
    added = add(tmp_path, made_up())
    assert schema_faults(added.frame) == []
    assert set(of_llm(added)["split"]) == {TRAIN}
    assert len(of_llm(added)) == added.summary["llm_rows"] == 60, "60 of 140 + 60 are 30 %"
    others = added.frame[added.frame["source"] != LLM].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, REAL_ROWS, check_like=False)
    assert data_source(added.frame) == "hybrid"
    assert added.summary["llm_left_out"]["more_than_allowed"] > 200


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.1, 15), (0.3, 60), (0.5, 140)])
def test_the_share_is_of_all_train_rows(tmp_path: Path, share: float, most: int):
    added = add(tmp_path, made_up(2000), share=share)
    assert len(of_llm(added)) <= most
    assert len(of_llm(added)) >= min(most, 120), "the classes of real rows leave room"


def test_a_class_never_has_more_of_them_than_real_train_rows(tmp_path: Path):
    rare = learnable(200, seed=3, label=[1] * 100 + [0] * 90 + [2] * 10)
    added = add(tmp_path, made_up(label=2), rare)
    real = rare[(rare["split"] == TRAIN) & (rare["label"] == 2)]
    assert len(of_llm(added)) == len(real) == 0
    some = learnable(200, seed=3, label=[2] * 5 + [0, 1] * 97 + [0])
    assert len(of_llm(add(tmp_path, made_up(label=2), some))) == 5


def test_without_real_rows_there_are_none(tmp_path: Path):
    synthetic = REAL_ROWS.assign(source="synthetic", provenance="none")
    assert add(tmp_path, made_up(), synthetic).frame is synthetic


@pytest.mark.parametrize(("conditional", "labels"), [("drop", {0, 1, 2}), ("review", {0, 1, 2})])
def test_conditional_is_left_out_or_becomes_review_required(tmp_path: Path, conditional: str, labels: set[int]):
    added = add(tmp_path, made_up(30), conditional=conditional)
    found = made_up(30)["label"].value_counts()
    kept = of_llm(added)["label"].value_counts()
    assert set(kept.index) == labels
    assert kept[2] == found[2] + (found[3] if conditional == "review" else 0)
    assert added.summary["llm_left_out"].get("conditional", 0) == (found[3] if conditional == "drop" else 0)


def test_rows_that_resemble_feedback_or_each_other_or_are_not_finite_are_left_out(tmp_path: Path):
    """A row like a test row would tell the model what it is tested on."""
    made = made_up(6, label=1)
    tested = REAL_ROWS[REAL_ROWS["split"] == TEST].iloc[0]
    made.loc[0, list(COMPUTED_FEATURES)] = tested[list(COMPUTED_FEATURES)].to_numpy("float64")
    made.loc[1, list(COMPUTED_FEATURES)] = made.loc[2, list(COMPUTED_FEATURES)]
    made.loc[3, "risk_score"] = math.nan
    made.loc[4, "total_duration_ms"] = 1e39
    added = add(tmp_path, made)
    assert added.summary["llm_left_out"] == {"not_finite": 2, "duplicate": 1, "same_features_as_feedback": 1}
    assert len(of_llm(added)) == 2


def test_the_same_rows_in_another_order_give_the_same_dataset(tmp_path: Path):
    first, again = (add(tmp_path, made) for made in (made_up(), made_up().sample(frac=1, random_state=1)))
    assert data_version(first.frame) == data_version(again.frame)
    assert data_version(first.frame) != data_version(add(tmp_path, made_up(seed=10)).frame)
    times = of_llm(first)["submitted_at"]
    real = REAL_ROWS.loc[REAL_ROWS["split"] == TRAIN, "submitted_at"]
    assert real.min() < times.min() < times.max() < real.max(), "no time follows from when the dataset was built"
    assert first.summary["llm_file"].startswith("specialist_technical_base.parquet, SHA-256 ")


def test_a_specialist_without_a_file_keeps_its_dataset(tmp_path: Path):
    added = with_llm_rows(REAL_ROWS, PARTITION, LlmRules(tmp_path, 0.3, "drop"))
    assert added.frame is REAL_ROWS
    assert added.summary["llm_rows"] == 0


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (made_up(5).drop(columns="density"), "it has no density"),
        (made_up(5, density=1), "density is not float64"),
        (made_up(5, label=4), "label is not an integer from 0 to 3"),
        (made_up(5, label=1.0), "label is not an integer from 0 to 3"),
        (made_up(5, label="approve"), "label is not an integer from 0 to 3"),
    ],
    ids=["missing", "type", "unknown label", "label of floats", "label of words"],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, made: pd.DataFrame, reason: str):
    with pytest.raises(DataError, match=reason):
        add(tmp_path, made)


def test_what_is_no_parquet_and_what_is_no_folder_is_refused(tmp_path: Path):
    llm_file(tmp_path, "technical").write_text("rows")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        with_llm_rows(REAL_ROWS, PARTITION, LlmRules(tmp_path, 0.3, "drop"))
    with pytest.raises(DataError, match=r"LLM_DATASET_DIR .* is no folder"):
        with_llm_rows(REAL_ROWS, PARTITION, LlmRules(tmp_path / "gone", 0.3, "drop"))


def test_they_do_not_make_too_little_feedback_enough(tmp_path: Path):
    added = add(tmp_path, made_up())
    added.frame.attrs = REAL_ROWS.attrs
    passed = {one.check: one.passed for one in judge_evidence(added.frame, min_samples=201)}
    assert passed == {"enough_samples": False, "class_coverage": True}
    assert all(one.passed for one in judge_evidence(added.frame, min_samples=200))


def test_the_checks_of_the_dataset_accept_them_and_the_folds_learn_them(tmp_path: Path):
    added = add(tmp_path, made_up())
    added.frame.attrs = REAL_ROWS.attrs
    rules = QualityRules(min_real_samples=200, max_feedback_age_days=7, max_rejected_fraction=0.05)
    # The real rows have no stored features.
    assert [one.check for one in judge_dataset(added.frame, rules) if not one.passed] == ["features_as_served"]
    segments = segments_of(added.frame)
    assert set(segments[added.frame["source"] == LLM]) == {0}
    assert segments[added.frame["source"] == REAL].tolist() == segments_of(REAL_ROWS).tolist()


def recorded(folder: Path, **changes: Any) -> None:
    """The record that `nhm generate` writes beside a file of rows."""
    file = llm_file(folder, "technical")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    record = {"model": "maker", "judge": "judge", "sha256": sha256, "agreed_by": "judge"} | changes
    file.with_suffix(".json").write_text(json.dumps(record))


def again(folder: Path) -> Added:
    return with_llm_rows(REAL_ROWS, PARTITION, LlmRules(folder, 0.3, "drop"))


def test_the_dataset_says_who_agrees_with_the_labels_or_that_they_are_taken_on_trust(tmp_path: Path):
    assert add(tmp_path, made_up()).summary["llm_agreed_by"] == ON_TRUST
    recorded(tmp_path)
    assert again(tmp_path).summary["llm_agreed_by"] == "judge, a model other than the maker"
    recorded(tmp_path, judge=None, agreed_by="Ana")
    assert again(tmp_path).summary["llm_agreed_by"] == "Ana, after reading the rows"
    for of_another_kind in ("[]", "no JSON", '{"rows": 3}'):
        llm_file(tmp_path, "technical").with_suffix(".json").write_text(of_another_kind)
        assert again(tmp_path).summary["llm_agreed_by"] == ON_TRUST


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"agreed_by": None}, "nobody but the model that made them agrees"),
        ({"agreed_by": " "}, "nobody but the model that made them agrees"),
        ({"agreed_by": "maker"}, "nobody but the model that made them agrees"),
        ({"sha256": "0" * 64}, "the SHA-256 differs"),
    ],
)
def test_rows_that_nobody_but_their_maker_agrees_with_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str):
    add(tmp_path, made_up())
    recorded(tmp_path, **changes)
    with pytest.raises(DataError, match=reason):
        again(tmp_path)
