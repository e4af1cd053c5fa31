"""The code version changes with the code that computes a model and its libraries, and with nothing else."""

import ast
import json
import shutil
from functools import cache
from pathlib import Path

import pytest

import nhm_assets.training.code_version as module
from nhm_assets.training.code_version import COMPUTING, LIBRARIES, code_version, structure
from tests.support.pythons import OTHERS, REPOSITORY, interpreter, run_on

ENTRY_POINTS = (
    "feedback/features.py",
    "feedback/plan_columns.py",
    "estimators/calibration.py",
    "estimators/increment.py",
    "training/auto_search.py",
    "training/tuning.py",
)
COMPUTES_NOTHING = {"domain/errors.py", "domain/increment_records.py", "domain/outcomes.py", "domain/records.py"}
"""What the computing modules import for their errors and records."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's code, which `computed` reads."""
    copy = tmp_path / "nhm_assets"
    shutil.copytree(Path(module.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "_PACKAGE", copy)
    monkeypatch.setattr(module, "structure", parsed_once)
    return copy


parsed_once = cache(structure)
"""For the files that a test does not change."""


def computed() -> str:
    """The code version as another process would find it."""
    return code_version.__wrapped__()


def test_it_is_12_hex_digits_and_does_not_depend_on_the_location_of_the_package(package):
    assert computed() == code_version()
    assert len(code_version()) == 12
    assert int(code_version(), 16) >= 0


@pytest.mark.parametrize("file", COMPUTING)
def test_a_change_in_code_that_computes_changes_it(package, file):
    before = computed()
    path = package / file
    path.write_text(path.read_text() + "\nANOTHER = 1\n")
    assert computed() != before


def test_another_number_changes_it(package):
    before = computed()
    path = package / "estimators/families/random_forest.py"
    path.write_text(path.read_text().replace('"max_depth": 10', '"max_depth": 11'))
    assert computed() != before


@pytest.mark.parametrize("file", COMPUTING)
def test_docstrings_comments_and_layout_do_not_change_it(package, file):
    """A better docstring retrained all five specialists."""
    before = computed()
    path = package / file
    source = path.read_text().replace('"""', '"""In other words. ', 1)
    path.write_text("# A comment.\n\n" + source.replace(")\n", ")  # Another.\n\n\n") + "\n# The end.\n")
    assert computed() == before


@pytest.mark.parametrize(
    "file",
    ["cli.py", "evaluation/gate.py", "feedback/assets.py", "feedback/quarantine.py", "training/registration.py"],
)
def test_a_change_elsewhere_does_not_change_it(package, file):
    before = computed()
    path = package / file
    path.write_text(path.read_text() + "\nANOTHER = 1\n")
    assert computed() == before


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_version_of_a_library_changes_it(package, monkeypatch, library):
    before, installed = computed(), module.version
    monkeypatch.setattr(module, "version", lambda name: "0.0" if name == library else installed(name))
    assert computed() != before


def imported_by(file: Path) -> set[str]:
    """The modules of the package that a module imports, as paths."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {node.module for node in nodes if node.module and node.module.startswith("nhm_assets.")}
    paths = {name.removeprefix("nhm_assets.").replace(".", "/") for name in names}
    package = Path(module.__file__).parents[1]
    return {f"{path}/__init__.py" if (package / path).is_dir() else f"{path}.py" for path in paths}


def test_it_covers_everything_that_the_computing_modules_import():
    package, covered, waiting = Path(module.__file__).parents[1], set(), list(ENTRY_POINTS)
    while waiting:
        file = waiting.pop()
        if file not in covered | COMPUTES_NOTHING:
            covered.add(file)
            waiting += imported_by(package / file)
    assert covered == set(COMPUTING)


@pytest.mark.servers
@pytest.mark.parametrize("minor", OTHERS)
def test_the_structure_of_the_code_is_the_same_on_other_pythons(minor: str):
    python = interpreter(minor)
    if python is None:
        pytest.skip(f"Python {minor} is not on this machine")
    code = (
        "import json, sys; from nhm_assets.training.code_version import structure; "
        "print(json.dumps([structure(open(file).read()) for file in sys.argv[1:]]))"
    )
    paths = [REPOSITORY / "nhm_assets" / file for file in COMPUTING]
    there = json.loads(run_on(python, code, *paths))
    for path, found in zip(paths, there, strict=True):
        assert found == structure(path.read_text()), path
