"""The same documents give the same features and data version on every Python that the platform supports."""

from pathlib import Path

import pandas as pd
import pytest

from nhm_assets.domain.dataset_schema import CLASS_NAMES, FEATURE_NAMES, REAL, REVIEWER, conform, data_version
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.feedback.splits import temporal_split
from nhm_assets.feedback.synthetic import synthetic_rows
from tests.support.documents import WEEK, WEEK_END, WINDOW_START
from tests.support.golden import features_digest, golden_features
from tests.support.pythons import OTHERS, interpreter, run_on

FEATURES = "d4b408bbd6fea3a2bbaa81acc3f26abb"
"""Over all features of the golden plans and of 300 random ones, as Python 3.11 computes them."""
DATA_VERSION = "52682c25cb4599e08235a00b95bf8b0a"
"""Of the rows below."""


def golden_rows(vectors: Path) -> pd.DataFrame:
    """Real rows of the golden plans, and synthetic ones."""
    features = golden_features(vectors)
    numbers = range(len(features))
    described = pd.DataFrame(
        {
            **{name: [f"{name}-{number}" for number in numbers] for name in ("feedback_id", "opinion_id", "plan_id")},
            "submitted_at": pd.date_range(WINDOW_START, periods=len(features), freq="3h7min"),
            "human_rating": [number / len(features) for number in numbers],
            "label": [number % len(CLASS_NAMES) for number in numbers],
            "source": REAL,
            "provenance": REVIEWER,
        }
    )
    real = pd.concat([described, pd.DataFrame(features)], axis=1)
    real["split"] = temporal_split(real["plan_id"])
    synthetic = synthetic_rows(Partition.parse(WEEK, "technical"), Window(WINDOW_START, WEEK_END), 200)
    return conform(pd.concat([real, synthetic], ignore_index=True).reindex(columns=[*real, *FEATURE_NAMES[-3:]]))


def test_the_golden_rows_have_the_golden_data_version(golden_vectors: Path):
    """The suite runs on each Python; a change of this value retrains all specialists, and must be meant."""
    assert data_version(golden_rows(golden_vectors)) == DATA_VERSION


def test_the_golden_plans_have_the_golden_features_to_the_last_bit(golden_vectors: Path):
    assert features_digest(golden_vectors) == FEATURES


@pytest.mark.parametrize("minor", OTHERS)
def test_another_python_computes_the_same_features_to_the_last_bit(golden_vectors: Path, minor: str):
    """Python 3.12 compensates the rounding errors of `sum`: 10 of 1,311 golden values differed in the last bit."""
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"Python {minor} is not on this machine")
    code = "import sys, pathlib; from tests.support.golden import *; print(features_digest(pathlib.Path(sys.argv[1])))"
    assert run_on(python, code, golden_vectors.absolute()) == FEATURES
