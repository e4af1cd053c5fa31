"""Which module may import which: the floors, no cycles, and no undeclared libraries."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from sys import stdlib_module_names
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nhm_assets.estimators.families import FAMILIES
from tests.support.processes import ROOT
from tests.support.source import PACKAGES, all_imports, module_name, modules, parsed, top_level_imports, tree_with

STAGES = ("feedback", "training", "evaluation", "promotion", "rollout", "monitoring")
FLOORS = (
    ("domain", "resources"),
    ("estimators",),
    ("configuration",),
    ("settings",),
    ("resource_factories", "steps", "runs", "drift"),
    ("registry",),
    STAGES,
    ("served",),
    ("sensors", "instance", "automation", "demo", "generation"),
    ("definitions",),
    ("commands",),
    ("cli",),
)
"""The rooms, bottom to top. A room imports only from lower floors: not from its own floor, and not from above.

Only the definitions import sensors.
"""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP_LEVEL = {"__init__", "definitions", "settings", "resource_factories", "cli"}
INTERNALS = Path("nhm_assets/domain/dagster_internals.py")
"""The only module that may use private names of Dagster."""
FAMILIES_FOLDER = Path("nhm_assets/estimators/families")
OPTIONAL = ("llm", "local", "postgres", "s3")
"""Extras for what not every installation needs."""


@pytest.fixture(autouse=True, scope="module")
def parsed_once() -> Iterator[None]:
    yield
    parsed.cache_clear()


def room_of(name: str) -> str | None:
    """The room of one of our modules. None for the package itself and for libraries."""
    first, *rest = name.split(".")
    if first in ("resources", "sensors"):
        return first
    return rest[0] if first == "nhm_assets" and rest else None


def forbidden_imports(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in modules(root)
        for name in all_imports(path, tree)
        if forbidden(path, name)
    ]


def forbidden(path: Path, name: str) -> bool:
    importing, imported = room_of(module_name(path)), room_of(name)
    if importing == imported or imported is None or importing not in FLOOR_OF:
        return False
    if imported == "sensors":
        return importing != "definitions"
    return imported not in FLOOR_OF or FLOOR_OF[imported] >= FLOOR_OF[importing]


def loose_modules(root: Path) -> list[str]:
    """Modules at the top of the package that belong in a room."""
    return sorted(path.name for path in (root / "nhm_assets").glob("*.py") if path.stem not in TOP_LEVEL)


def unknown_rooms(root: Path) -> list[str]:
    """Folders of the package that are on no floor."""
    rooms = {path.parts[1] for path, _ in modules(root) if len(path.parts) > 2 and path.parts[0] == "nhm_assets"}
    return sorted(rooms - set(FLOOR_OF))


def private_names_of_dagster(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in modules(root)
        for name in all_imports(path, tree)
        if path != INTERNALS and name.startswith("dagster") and "._" in name
    ]


def names_of_families(root: Path) -> list[str]:
    """Modules outside their folder that name a family: in a text that is no docstring, or by its module or class."""
    said = re.compile(rf"\b({'|'.join(FAMILIES)})\b")
    own = set(FAMILIES) | {type(family).__name__ for family in FAMILIES.values()}
    found = []
    for path, tree in modules(root):
        if path.is_relative_to(FAMILIES_FOLDER):
            continue
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found += [f"{path} says {name}" for name in said.findall(node.value)]
        imported = {
            part for name in all_imports(path, tree) for part in name.split(".") if name.startswith("nhm_assets")
        }
        found += [f"{path} imports {name}" for name in imported & own]
    return found


def test_nothing_outside_their_folder_names_a_family():
    assert names_of_families(ROOT) == []


@pytest.mark.parametrize(
    ("line", "finds"),
    [
        ('def f(name):\n    return name == "logistic"', 1),
        ('text = f"take {1} stacking or voting"', 2),
        ("from nhm_assets.estimators.families.voting import weights", 1),
        ("from nhm_assets.estimators.families import extra_trees", 1),
        ("from nhm_assets.estimators.families.trees import RandomForest", 1),
        ('"""Of a voting model."""\nfrom sklearn.ensemble import StackingClassifier', 0),
        ("from nhm_assets.estimators.families import DEFAULT, FAMILIES", 0),
    ],
)
def test_the_name_of_a_family_is_found(tmp_path: Path, line: str, finds: int):
    assert len(names_of_families(tree_with(tmp_path, "nhm_assets/training/train.py", line))) == finds


def test_every_module_imports_only_from_lower_floors():
    assert forbidden_imports(ROOT) == []


def test_every_module_is_in_a_room_and_every_room_is_on_a_floor():
    assert loose_modules(ROOT) == []
    assert unknown_rooms(ROOT) == []


def test_a_loose_module_and_an_unknown_room_are_found(tmp_path: Path):
    tree_with(tmp_path, "nhm_assets/attic/old.py", "")
    tree_with(tmp_path, "nhm_assets/helpers.py", "")
    assert loose_modules(tmp_path) == ["helpers.py"]
    assert unknown_rooms(tmp_path) == ["attic"]


def test_private_names_of_dagster_are_imported_by_one_module():
    assert private_names_of_dagster(ROOT) == []


def test_a_private_name_of_dagster_is_found(tmp_path: Path):
    tree_with(tmp_path, "nhm_assets/runs/queries.py", "from dagster._core.utils import make_new_run_id")
    assert len(private_names_of_dagster(tmp_path)) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nhm_assets/training/train.py", "from nhm_assets.feedback.rules import x"),
        ("nhm_assets/training/train.py", "import nhm_assets.evaluation"),
        ("nhm_assets/training/train.py", "from nhm_assets import promotion"),
        ("nhm_assets/training/train.py", "from ..feedback import rules"),
        ("nhm_assets/training/train.py", "from .. import feedback"),
        ("nhm_assets/training/train.py", "def f():\n    from nhm_assets.rollout import assets"),
        ("nhm_assets/training/train.py", "if TYPE_CHECKING:\n    from nhm_assets.feedback import rules"),
        ("nhm_assets/training/train.py", "from nhm_assets.instance import home"),
        ("nhm_assets/training/train.py", "from nhm_assets.monitoring import exporter"),
        ("nhm_assets/monitoring/exporter.py", "from nhm_assets.instance import home"),
        ("nhm_assets/monitoring/read_report.py", "from nhm_assets.evaluation.fold_checks import serving_on_line"),
        ("nhm_assets/monitoring/mongo_source.py", "from nhm_assets.feedback.quarantine import reason_counts"),
        ("nhm_assets/registry/versions.py", "from nhm_assets.promotion import protocol"),
        ("nhm_assets/runs/queries.py", "from nhm_assets.steps import asset_checks"),
        ("nhm_assets/runs/queries.py", "from nhm_assets.registry import audit_log"),
        ("nhm_assets/estimators/fitting.py", "from nhm_assets.training import tuning"),
        ("nhm_assets/domain/records.py", "from nhm_assets.settings import Settings"),
        ("nhm_assets/domain/records.py", "from resources.errors import ServiceError"),
        ("nhm_assets/settings.py", "from nhm_assets.instance import run_pods"),
        ("nhm_assets/automation/retraining_job.py", "from nhm_assets.instance import run_pods"),
        ("nhm_assets/definitions.py", "from nhm_assets.commands import health"),
        ("nhm_assets/definitions.py", "from nhm_assets.attic import old"),
        ("resources/mongo.py", "from nhm_assets.settings import Settings"),
        ("resources/mongo.py", "import sensors.feedback_volume"),
        ("sensors/volume.py", "from nhm_assets.automation import retraining_job"),
        ("nhm_assets/automation/retraining_job.py", "from sensors import feedback_volume"),
        ("nhm_assets/commands/retrain.py", "from sensors import feedback_volume"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, path: str, line: str):
    assert len(forbidden_imports(tree_with(tmp_path, path, line))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nhm_assets/training/train.py", "from nhm_assets.training.tuning import search\nfrom . import tuning"),
        ("nhm_assets/training/train.py", "from nhm_assets.estimators.fitting import fit_model"),
        ("nhm_assets/evaluation/folds.py", "from nhm_assets.estimators.fitting import fit_model"),
        (
            "nhm_assets/training/train.py",
            "from nhm_assets.domain.records import X\nfrom resources.mlflow import Mlflow",
        ),
        ("nhm_assets/definitions.py", "from sensors import volume\nfrom nhm_assets.feedback.assets import x"),
        (
            "sensors/volume.py",
            "from nhm_assets.runs import queries\nfrom resources.mongo import Mongo\nimport sensors.b",
        ),
        ("nhm_assets/cli.py", "from nhm_assets.commands.dev import dev\nimport nhm_assets"),
        ("resources/mongo.py", "from resources.addresses import masked\nimport nhm_assets_of_somebody_else"),
    ],
)
def test_an_allowed_import_is_accepted(tmp_path: Path, path: str, line: str):
    assert forbidden_imports(tree_with(tmp_path, path, line)) == []


def import_cycle(root: Path) -> list[str]:
    """Modules that import each other in a circle as soon as one of them is imported. Empty if there is no circle."""
    names = {module_name(path) for path, _ in modules(root)}
    graph: dict[str, set[str]] = {}
    for path, tree in modules(root):
        for name in top_level_imports(path, tree):
            # The last part may name a function in a module, or a module in a package.
            imported = name if name in names else name.rpartition(".")[0]
            if imported in names:
                graph.setdefault(module_name(path), set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle():
    assert import_cycle(ROOT) == []


@pytest.mark.parametrize(
    "closing_the_circle",
    [
        "from nhm_assets.runs.queries import x",
        "from nhm_assets.runs import queries",
        "from . import queries",
        "import nhm_assets.runs.queries",
        "try:\n    import nhm_assets.runs.queries\nexcept ImportError:\n    pass",
        "class A:\n    from nhm_assets.runs import queries",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from nhm_assets.runs import queries",
    ],
)
def test_a_circle_is_found_inside_a_room_too(tmp_path: Path, closing_the_circle: str):
    tree_with(tmp_path, "nhm_assets/runs/queries.py", "from nhm_assets.runs.liveness import x")
    tree_with(tmp_path, "nhm_assets/runs/liveness.py", "from nhm_assets.runs.triggers import x")
    tree_with(tmp_path, "nhm_assets/runs/triggers.py", closing_the_circle)
    assert sorted(set(import_cycle(tmp_path))) == [
        f"nhm_assets.runs.{name}" for name in ("liveness", "queries", "triggers")
    ]


@pytest.mark.parametrize(
    "no_circle",
    [
        "def f():\n    from nhm_assets.runs import queries",
        "if TYPE_CHECKING:\n    from nhm_assets.runs import queries",
        "if typing.TYPE_CHECKING:\n    from nhm_assets.runs import queries",
        "from dagster import queries",
    ],
)
def test_an_import_in_a_function_or_for_type_checking_closes_no_circle(tmp_path: Path, no_circle: str):
    tree_with(tmp_path, "nhm_assets/runs/queries.py", "from nhm_assets.runs.liveness import x")
    tree_with(tmp_path, "nhm_assets/runs/liveness.py", no_circle)
    assert import_cycle(tmp_path) == []


def undeclared_imports(root: Path, project: dict[str, Any]) -> list[str]:
    """Imports of libraries that pyproject.toml does not declare. At its top, a module imports no optional library."""
    required = declared(project["dependencies"])
    optional = required.union(*(declared(project["optional-dependencies"][extra]) for extra in OPTIONAL))
    return [
        f"{path} imports {name}"
        for path, tree in modules(root)
        for found, allowed in ((top_level_imports(path, tree), required), (all_imports(path, tree), optional))
        for name in found
        if not is_declared(name.partition(".")[0], allowed)
    ]


def declared(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


def is_declared(package: str, allowed: Set[str]) -> bool:
    if package in stdlib_module_names or package in PACKAGES:
        return True
    return any(canonicalize_name(name) in allowed for name in distributions().get(package, ()))


@cache
def distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_imported_library_is_declared():
    assert undeclared_imports(ROOT, PROJECT) == []


@pytest.mark.parametrize(
    "line",
    [
        "import jinja2",
        "import no_such_library",
        "import honcho",
        "def f():\n    import networkx",
        "if TYPE_CHECKING:\n    from pytest import Item",
    ],
    ids=[
        "of another library",
        "not installed",
        "optional, at the top",
        "extra dev, in a function",
        "extra dev, for types",
    ],
)
def test_an_undeclared_import_is_found(tmp_path: Path, line: str):
    assert undeclared_imports(tree_with(tmp_path, "nhm_assets/runs/queries.py", line), PROJECT) != []


@pytest.mark.parametrize(
    "line", ["import os", "import sklearn.tree", "import nhm_assets", "def f():\n    import honcho"]
)
def test_a_declared_import_is_accepted(tmp_path: Path, line: str):
    assert undeclared_imports(tree_with(tmp_path, "nhm_assets/runs/queries.py", line), PROJECT) == []
