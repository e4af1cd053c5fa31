"""The rules of the house that a reader relies on: who imports whom, who reads the environment, what an import does."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

STAGES = ("feedback", "training", "evaluation", "promotion", "rollout", "monitoring")
FLOORS = (
    ("domain", "resources"),
    ("settings",),
    ("resource_factories", "steps", "runs"),
    ("registry",),
    STAGES,
    ("sensors", "instance", "automation", "demo"),
    ("definitions",),
    ("commands",),
    ("cli",),
)
"""The rooms, bottom to top. A room imports only from lower floors, so neither from its neighbours nor from above."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP_LEVEL = {"__init__", "definitions", "settings", "resource_factories", "cli"}
INTERNALS = Path("nhm_assets/domain/dagster_internals.py")
"""The one module that may use private names of Dagster."""
SETTINGS = Path("nhm_assets/settings.py")
"""The one module that may read the environment."""


def modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the project below this folder, by its path from there."""
    for folder in ("nhm_assets", "resources", "sensors"):
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root), ast.parse(path.read_text())


def imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """Full names of all that a module imports, wherever in it and for whatever purpose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parts[: len(path.parts) - node.level]) if node.level else ""
            base = ".".join(filter(None, (package, node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str | None:
    """The room that a module of ours is in; None for modules of others, and for the package itself."""
    first, *rest = name.split(".")
    if first in ("resources", "sensors"):
        return first
    return rest[0] if first == "nhm_assets" and rest else None


def forbidden_imports(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in modules(root)
        for name in imports(path, tree)
        if forbidden(path, name)
    ]


def forbidden(path: Path, name: str) -> bool:
    importing, imported = room_of(".".join(path.with_suffix("").parts)), room_of(name)
    if importing == imported or imported is None or importing not in FLOOR_OF:
        return False
    return imported not in FLOOR_OF or FLOOR_OF[imported] >= FLOOR_OF[importing]


def loose_modules(root: Path) -> list[str]:
    """Modules at the top of the package that belong into a room."""
    return sorted(path.name for path in (root / "nhm_assets").glob("*.py") if path.stem not in TOP_LEVEL)


def unknown_rooms(root: Path) -> list[str]:
    """Folders of the package that are on no floor."""
    rooms = {path.parts[1] for path, _ in modules(root) if len(path.parts) > 2 and path.parts[0] == "nhm_assets"}
    return sorted(rooms - set(FLOOR_OF))


def private_names_of_dagster(root: Path) -> list[str]:
    return [
        f"{path} imports {name}"
        for path, tree in modules(root)
        for name in imports(path, tree)
        if path != INTERNALS and name.startswith("dagster") and "._" in name
    ]


def readings_of_the_environment(root: Path) -> list[str]:
    return [f"{path}:{line}" for path, tree in modules(root) if path != SETTINGS for line in environment_readings(tree)]


def environment_readings(tree: ast.Module) -> Iterator[int]:
    """Lines that read the environment; `os.environ.setdefault(...)` as a statement and assignments only write."""
    writing = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and is_setdefault(node.value):
            writing.add(node.value.func.value)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            writing.add(node.value)
    for node in ast.walk(tree):
        if names_the_environment(node) and node not in writing:
            yield node.lineno


def is_setdefault(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault"


def names_the_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "EnvVar"}
    if isinstance(node, ast.ImportFrom):
        return any(alias.name in names for alias in node.names)
    return (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)


def test_every_module_imports_only_what_the_rules_allow():
    assert forbidden_imports(ROOT) == []


def test_nothing_lies_loose_at_the_top_and_every_room_has_a_floor():
    assert loose_modules(ROOT) == []
    assert unknown_rooms(ROOT) == []


def test_a_loose_module_and_an_unknown_room_are_found(tmp_path: Path):
    tree_with(tmp_path, "nhm_assets/attic/old.py", "")
    (tmp_path / "nhm_assets" / "helpers.py").write_text("")
    assert loose_modules(tmp_path) == ["helpers.py"]
    assert unknown_rooms(tmp_path) == ["attic"]


def test_private_names_of_dagster_are_imported_by_one_module():
    assert private_names_of_dagster(ROOT) == []
    assert private_names_of_dagster_in(INTERNALS)


def private_names_of_dagster_in(path: Path) -> list[str]:
    return [name for name in imports(path, ast.parse((ROOT / path).read_text())) if "._" in name]


def test_nothing_but_the_settings_reads_the_environment():
    assert readings_of_the_environment(ROOT) == []


def test_the_settings_are_looked_at_too():
    """The search above finds something where there is something to find, so it does search."""
    assert SETTINGS in [path for path, _ in modules(ROOT)]
    assert list(environment_readings(ast.parse((ROOT / SETTINGS).read_text())))


def tree_with(root: Path, path: str, line: str) -> Path:
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text(line)
    return root


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
        ("nhm_assets/registry/versions.py", "from nhm_assets.promotion import protocol"),
        ("nhm_assets/runs/queries.py", "from nhm_assets.steps import asset_checks"),
        ("nhm_assets/runs/queries.py", "from nhm_assets.registry import audit_log"),
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
    ],
)
def test_an_import_against_the_rules_is_found(tmp_path: Path, path: str, line: str):
    assert len(forbidden_imports(tree_with(tmp_path, path, line))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nhm_assets/training/train.py", "from nhm_assets.training.forest import fit\nfrom . import forest"),
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
def test_an_import_within_the_rules_is_let_be(tmp_path: Path, path: str, line: str):
    assert forbidden_imports(tree_with(tmp_path, path, line)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import os\nx = os.environ['X']",
        "import os\nx = os.environ.get('X')",
        "import os\nx = os.getenv('X')",
        "import os\nx = 'X' in os.environ",
        "import os\nx = os.environ.setdefault('X', 'y')",
        "from os import environ",
        "from os import getenv as value",
        "from dagster import EnvVar",
    ],
)
def test_a_reading_of_the_environment_is_found(tmp_path: Path, line: str):
    assert len(readings_of_the_environment(tree_with(tmp_path, "resources/mongo.py", line))) == 1


@pytest.mark.parametrize("line", ["import os\nos.environ.setdefault('X', 'y')", "import os\nos.environ['X'] = 'y'"])
def test_a_writing_of_the_environment_is_let_be(tmp_path: Path, line: str):
    assert readings_of_the_environment(tree_with(tmp_path, "resources/mongo.py", line)) == []


WATCH = """
import os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OTHERS = ("socket.connect", "socket.getaddrinfo", "socket.bind", "os.mkdir", "os.rename", "os.remove", "os.rmdir",
          "os.putenv", "os.chmod", "os.symlink", "os.link", "os.truncate", "subprocess.Popen", "os.exec", "os.fork",
          "os.posix_spawn", "os.system", "sqlite3.connect", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp")

def watch(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if flags & WRITES and path != os.devnull:
            print("EFFECT", "writes", path)
    elif event in OTHERS:
        print("EFFECT", event, *arguments)

sys.addaudithook(watch)
"""


def effects_of(program: str, folder: Path, *, beforehand: str = "") -> list[str]:
    """What a fresh process does to disk, network, environment and other processes while it runs this."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"{beforehand}\n{WATCH}\n{program}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if line.startswith("EFFECT")]


def test_importing_the_code_location_touches_neither_network_nor_disk_nor_environment(tmp_path: Path):
    # These two look at the machine while they are imported, and nothing here can do without them.
    libraries = "import dagster, pandas"
    assert effects_of("import nhm_assets.definitions", tmp_path, beforehand=libraries) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "program",
    [
        "open('made', 'w')",
        "import pathlib; pathlib.Path('made').mkdir()",
        "import socket; socket.socket().connect_ex(('127.0.0.1', 9))",
        "import subprocess; subprocess.run(['true'])",
        "import sqlite3; sqlite3.connect('made.db')",
        "os.environ['X'] = 'y'",
    ],
)
def test_an_effect_of_an_import_is_noticed(tmp_path: Path, program: str):
    assert effects_of(program, tmp_path) != []


HEAVY = ("mlflow", "dagster_mlflow", "sklearn", "scipy", "optuna", "matplotlib", "kubernetes", "pymongo", "s3fs")
LOADED = "import sys; print(*(name for name in {heavy} if name in sys.modules))"


def heavy_libraries_after(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{LOADED.format(heavy=HEAVY)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_importing_the_code_location_loads_no_heavy_library():
    assert heavy_libraries_after("import nhm_assets.definitions") == []


def test_a_heavy_library_that_is_loaded_is_noticed():
    assert heavy_libraries_after("import nhm_assets.definitions, pymongo") == ["pymongo"]
