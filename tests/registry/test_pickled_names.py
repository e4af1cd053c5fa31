"""The names in a model file are read without running anything of it."""

import os
import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from nhm_assets.domain.errors import RegistryError
from nhm_assets.registry.pickled_names import foreign_names, names_in
from tests.support.versions import small_forest


def file_of(folder: Path, content: bytes) -> Path:
    file = folder / "model.pkl"
    file.write_bytes(content)
    return file


class Touch:
    """Creates a file as soon as it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_forest_names_scikit_learn_and_numpy_alone(tmp_path: Path):
    file = file_of(tmp_path, cloudpickle.dumps(small_forest(), protocol=4))
    assert ("sklearn.ensemble._forest", "RandomForestClassifier") in names_in(file)
    assert foreign_names(file) == []


@pytest.mark.parametrize(
    ("model", "foreign"),
    [
        (Fraction(1, 2), "fractions.Fraction"),
        (small_forest, "tests.support.versions.small_forest"),
        ([np.zeros(3), {"model": eval}], "builtins.eval"),
        (np.random.default_rng(1), "numpy.random._pickle.__generator_ctor"),
    ],
)
def test_what_pods_lack_is_named_wherever_it_is(tmp_path: Path, model: Any, foreign: str):
    assert foreign in foreign_names(file_of(tmp_path, pickle.dumps(model, protocol=4)))


def test_a_class_that_is_pickled_by_value_is_foreign(tmp_path: Path):
    class Own:
        pass

    assert any(name.startswith("cloudpickle.") for name in foreign_names(file_of(tmp_path, cloudpickle.dumps(Own()))))


def test_a_newer_protocol_names_what_numpy_1_26_lacks(tmp_path: Path):
    """MLflow pickles with protocol 4. With protocol 5, no model loaded there."""
    file = file_of(tmp_path, pickle.dumps(np.zeros(3), protocol=5))
    assert foreign_names(file) == ["numpy._core.numeric._frombuffer"]


def test_a_name_within_a_module_that_is_known_is_foreign(tmp_path: Path):
    file = file_of(tmp_path, b"\x80\x04\x8c\x0fsklearn._config\x8c\x09os.system\x93.")
    assert foreign_names(file) == ["sklearn._config.os.system"]


def test_nothing_of_the_file_is_run(tmp_path: Path):
    file = file_of(tmp_path, pickle.dumps(Touch(tmp_path / "touched"), protocol=4))
    assert foreign_names(file) == ["posix.mkdir"]
    assert not (tmp_path / "touched").exists()
    pickle.loads(file.read_bytes())  # noqa: S301 - it is ours
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [b"", b"not even a pickle", pickle.dumps(np.zeros(9))[:40]])
def test_what_is_no_pickle_is_refused(tmp_path: Path, content: bytes):
    with pytest.raises(RegistryError, match=r"model\.pkl cannot be read as a pickle"):
        names_in(file_of(tmp_path, content))
