"""The code version changes with the code that decides a model, and with nothing else."""

import shutil
from pathlib import Path

import pytest
import sklearn

import nhm_assets.training.code_version as module
from nhm_assets.training.code_version import code_version


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's code, which `computed` reads."""
    copy = tmp_path / "nhm_assets"
    shutil.copytree(Path(module.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "_PACKAGE", copy)
    return copy


def computed() -> str:
    """The code version as another process would find it."""
    return code_version.__wrapped__()


def test_it_is_12_hex_digits_and_does_not_depend_on_the_location_of_the_package(package):
    assert computed() == code_version()
    assert len(code_version()) == 12
    assert int(code_version(), 16) >= 0


@pytest.mark.parametrize(
    "file",
    [
        "domain/dataset_schema.py",
        "feedback/sample_plans.py",
        "feedback/rules.py",
        "feedback/features.py",
        "training/forest.py",
    ],
)
def test_a_change_in_relevant_code_changes_it(package, file):
    before = computed()
    path = package / file
    path.write_text(path.read_text() + "\n")
    assert computed() != before


@pytest.mark.parametrize("file", ["cli.py", "evaluation/gate.py", "promotion/protocol.py", "registry/audit_log.py"])
def test_a_change_elsewhere_does_not_change_it(package, file):
    before = computed()
    path = package / file
    path.write_text(path.read_text() + "\n")
    assert computed() == before


def test_a_new_file_and_a_renamed_one_change_it(package):
    before = computed()
    (package / "feedback" / "another.py").write_text("")
    added = computed()
    (package / "feedback" / "another.py").rename(package / "feedback" / "yet_another.py")
    assert len({before, added, computed()}) == 3


def test_compiled_files_do_not_change_it(package):
    before = computed()
    (package / "training" / "__pycache__").mkdir()
    (package / "training" / "__pycache__" / "forest.cpython-311.pyc").write_bytes(b"compiled")
    assert computed() == before


def test_another_scikit_learn_changes_it(package, monkeypatch):
    before = computed()
    monkeypatch.setattr(sklearn, "__version__", "1.5.3")
    assert computed() != before
