"""The same documents give the same features and data version on every Python that the platform supports."""

from pathlib import Path

import pytest

from tests.support.golden import features_digest
from tests.support.golden_rows import golden_version
from tests.support.pythons import OTHERS, full_environment, interpreter, run_on

FEATURES = "d4b408bbd6fea3a2bbaa81acc3f26abb"
"""Over all features of the golden plans and of 300 random ones, as Python 3.11 computes them."""
DATA_VERSION = "52682c25cb4599e08235a00b95bf8b0a"
"""Of the golden rows."""


def test_the_golden_rows_have_the_golden_data_version(golden_vectors: Path):
    """The suite runs on each Python; a change of this value retrains all specialists, and must be meant."""
    assert golden_version(golden_vectors) == DATA_VERSION


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


@pytest.mark.parametrize("minor", OTHERS)
def test_another_python_gives_the_golden_rows_the_same_data_version(golden_vectors: Path, minor: str):
    python = full_environment(minor)
    if python is None:
        pytest.skip(f"NHM_TEST_PYTHONS names no Python {minor} with the packages of the platform")
    code = (
        "import sys, pathlib; from tests.support.golden_rows import *; print(golden_version(pathlib.Path(sys.argv[1])))"
    )
    assert run_on(python, code, golden_vectors.absolute()) == DATA_VERSION
