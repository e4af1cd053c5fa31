"""What a version is trained from, as its tags say it."""

from datetime import datetime

import pandas as pd

from nhm_assets.domain.dataset_schema import SYNTHETIC, TEST, TRAIN
from nhm_assets.domain.partitions import Partition
from nhm_assets.training.training_spec import TrainingSpec
from tests.support.documents import WEEK
from tests.support.frames import dataset


def spec(frame: pd.DataFrame) -> TrainingSpec:
    return TrainingSpec.of(
        frame, Partition.parse(WEEK, "technical"), code_version="c", parameters={}, dagster_run_id="run"
    )


def test_a_version_has_learned_up_to_its_newest_row_that_is_no_test_row():
    frame = dataset(100)
    newest = frame.loc[frame["split"] != TEST, "submitted_at"].max()
    assert spec(frame).learned_until == newest
    assert datetime.fromisoformat(spec(frame).tags()["nhm.learned_until"]) == newest


def test_synthetic_rows_count_only_if_there_are_no_others():
    """They are spread over the whole window, and nobody has reviewed them."""
    real, synthetic = dataset(100), dataset(100, source=SYNTHETIC, split=TRAIN)
    mixed = pd.concat([real, synthetic], ignore_index=True)
    mixed.attrs = real.attrs
    assert spec(mixed).learned_until == spec(real).learned_until < synthetic["submitted_at"].max()
    assert spec(synthetic).learned_until == synthetic["submitted_at"].max()


def test_a_version_that_learned_nothing_has_no_such_tag():
    nothing = dataset(10, split=TEST)
    assert spec(nothing).learned_until is None
    assert "nhm.learned_until" not in spec(nothing).tags()


def test_the_time_follows_from_the_data_and_changes_no_fingerprint():
    frame = dataset(100)
    assert spec(frame).fingerprint == spec(frame).fingerprint
    assert spec(frame).fingerprint != spec(dataset(101)).fingerprint
