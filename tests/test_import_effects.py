"""Only the settings read the environment, and importing the code location has no effect and loads no heavy library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.source import modules, tree_with

SETTINGS = Path("nhm_assets/settings.py")
"""The only module that may read the environment."""


def environment_reads(root: Path) -> list[str]:
    return [
        f"{path}:{line}"
        for path, tree in modules(root)
        if path != SETTINGS
        for line in lines_that_read_the_environment(tree)
    ]


def lines_that_read_the_environment(tree: ast.Module) -> Iterator[int]:
    """Line numbers. Assignments and `os.environ.setdefault(...)` as a statement only write, so they do not count."""
    writing = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and is_setdefault(node.value):
            writing.add(node.value.func.value)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            writing.add(node.value)
    for node in ast.walk(tree):
        if is_environment(node) and node not in writing:
            yield node.lineno


def is_setdefault(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault"


def is_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "EnvVar"}
    if isinstance(node, ast.ImportFrom):
        return any(alias.name in names for alias in node.names)
    return (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)


def test_only_the_settings_read_the_environment():
    assert environment_reads(ROOT) == []


def test_the_search_includes_the_settings_and_finds_their_reads():
    assert SETTINGS in [path for path, _ in modules(ROOT)]
    assert list(lines_that_read_the_environment(ast.parse((ROOT / SETTINGS).read_text())))


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
def test_a_read_of_the_environment_is_found(tmp_path: Path, line: str):
    assert len(environment_reads(tree_with(tmp_path, "resources/mongo.py", line))) == 1


@pytest.mark.parametrize("line", ["import os\nos.environ.setdefault('X', 'y')", "import os\nos.environ['X'] = 'y'"])
def test_a_write_to_the_environment_is_allowed(tmp_path: Path, line: str):
    assert environment_reads(tree_with(tmp_path, "resources/mongo.py", line)) == []


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
    """What a new process does to disk, network, environment and other processes while it runs this program."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"{beforehand}\n{WATCH}\n{program}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if line.startswith("EFFECT")]


@pytest.mark.servers
def test_importing_the_code_location_touches_neither_network_nor_disk_nor_environment(tmp_path: Path):
    # These two libraries inspect the machine when they are imported. We cannot do without them.
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
def test_an_effect_of_an_import_is_found(tmp_path: Path, program: str):
    assert effects_of(program, tmp_path) != []


HEAVY = ("mlflow", "dagster_mlflow", "sklearn", "scipy", "optuna", "matplotlib", "kubernetes", "pymongo", "s3fs")
LOADED = "import sys; print(*(name for name in {heavy} if name in sys.modules))"


def heavy_libraries_after(program: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{LOADED.format(heavy=heavy)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()


@pytest.mark.servers
def test_importing_the_code_location_loads_no_heavy_library():
    assert heavy_libraries_after("import nhm_assets.definitions") == []


@pytest.mark.servers
def test_a_heavy_library_that_is_loaded_is_found():
    assert heavy_libraries_after("import nhm_assets.definitions, pymongo") == ["pymongo"]


NOT_FOR_HELP = (*HEAVY, "dagster", "pandas", "numpy", "pyarrow", "sqlalchemy", "requests", "apprise", "rich")


@pytest.mark.parametrize("arguments", [["--help"], ["retrain", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]):
    """It takes a quarter of a second; each of these libraries takes longer than that."""
    program = f"from nhm_assets.cli import main; main({arguments}, standalone_mode=False)"
    assert heavy_libraries_after(program, NOT_FOR_HELP) == []


def test_no_subcommand_needs_a_heavy_library_for_its_help():
    each = "for name in SUBCOMMANDS: main([name, '--help'], standalone_mode=False)"
    assert heavy_libraries_after(f"from nhm_assets.cli import SUBCOMMANDS, main\n{each}", NOT_FOR_HELP) == []


def test_help_imports_no_subcommand_and_no_settings():
    """With pydantic and all commands, it takes four times as long."""
    not_needed = ("pydantic", "pydantic_settings", "asyncio", "ssl", "nhm_assets.settings", "nhm_assets.commands")
    program = "from nhm_assets.cli import main; main(['--help'], standalone_mode=False)"
    assert heavy_libraries_after(program, not_needed) == []


def test_settings_are_shown_without_the_libraries_that_use_them():
    program = "from nhm_assets.cli import main; main(['settings'], standalone_mode=False)"
    assert heavy_libraries_after(program, tuple(set(NOT_FOR_HELP) - {"rich"})) == []
