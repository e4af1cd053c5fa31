"""Rules of the tests themselves: what starts first, where private names of Dagster come from, what the tester sees."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import memory_folder
from tests.support.processes import ROOT
from tests.support.schedule import FIRST

INTERNALS = Path("tests/support/dagster_internals.py")
CONFTEST = """
from tests.support.progress import Progress

def pytest_configure(config):
    config.pluginmanager.register(Progress(config))
"""
TEST = """
from tests.support.progress import announce

def test_that_starts_a_server():
    announce("a server")
"""


def private_names_of_dagster(source: str) -> list[str]:
    """The modules of Dagster that a source imports although their names begin with an underscore."""
    imported = (node.module or "" for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return [module for module in imported if module.startswith("dagster") and "._" in module]


def test_private_names_of_dagster_come_from_one_module():
    modules = {
        path.relative_to(ROOT): private_names_of_dagster(path.read_text()) for path in ROOT.glob("tests/**/*.py")
    }
    assert modules.pop(INTERNALS)
    assert {path: names for path, names in modules.items() if names} == {}


@pytest.mark.parametrize("prefix", FIRST)
def test_what_starts_first_exists(prefix: str):
    assert (ROOT / prefix).exists()


def test_the_files_that_the_older_client_runs_exist():
    # Within make, its own lines come around the commands.
    done = subprocess.run(["make", "-n", "test-mlflow2"], cwd=ROOT, capture_output=True, text=True, check=True)
    (command,) = (line for line in done.stdout.splitlines() if "pytest" in line)
    files = [word for word in command.split() if word.startswith("tests/")]
    assert "tests/test_old_mlflow_server.py" in files
    assert [file for file in files if not (ROOT / file).exists()] == []


def installs(folder: Path, *arguments: str) -> list[str]:
    """The programs `pip` that make would start, in this order, where no environment exists yet."""
    names = ("VENV", "VENV_SERVING", "VENV_MLFLOW2", "VENV_MLFLOW29")
    # Without what the make that runs these tests tells its children.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-n", *arguments, *(f"{name}={folder / name}" for name in names)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found = [line.partition(" install ")[0] for line in done.stdout.splitlines() if "/pip install " in line]
    return [str(Path(one).relative_to(folder)) for one in found]


def test_parallel_makes_create_each_environment_once(tmp_path: Path):
    serving = ["VENV/bin/pip", "VENV_SERVING/bin/pip"]
    assert sorted(installs(tmp_path, "-j2", "lint", "types", "test", "test-all")) == serving
    assert sorted(installs(tmp_path, "-j2", "environments", "test-mlflow2", "environment-serving")) == [
        "VENV/bin/pip",
        "VENV_MLFLOW2/bin/pip",
        "VENV_MLFLOW29/bin/pip",
        "VENV_SERVING/bin/pip",
    ]


def test_only_one_environment_at_a_time_installs_what_is_in_this_folder(tmp_path: Path):
    """Both write the folder `*.egg-info`."""
    assert installs(tmp_path, f"{tmp_path}/VENV_MLFLOW2/.installed") == ["VENV/bin/pip", "VENV_MLFLOW2/bin/pip"]


def test_temporary_folders_are_in_memory_where_there_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Both, so that the variable is afterwards as it was before.
    monkeypatch.setenv(memory_folder.VARIABLE, "elsewhere")
    monkeypatch.delenv(memory_folder.VARIABLE)
    for folder, needed in ((tmp_path / "missing", 0), (tmp_path, 2**60)):
        monkeypatch.setattr(memory_folder, "NEEDED", needed)
        memory_folder.use_memory(folder)
        assert memory_folder.VARIABLE not in os.environ
    monkeypatch.setattr(memory_folder, "NEEDED", 0)
    memory_folder.use_memory(tmp_path)
    assert os.environ[memory_folder.VARIABLE] == str(tmp_path)


@pytest.mark.parametrize(
    ("limit", "enough"), [("3000\n", True), ("2999\n", False), ("max\n", True), (None, True)], ids=repr
)
def test_a_container_has_the_memory_up_to_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, *, enough: bool
):
    monkeypatch.setenv(memory_folder.VARIABLE, "elsewhere")
    monkeypatch.delenv(memory_folder.VARIABLE)
    monkeypatch.setattr(memory_folder, "NEEDED", 1000)
    monkeypatch.setattr(memory_folder, "CONTAINER", tmp_path)
    (tmp_path / "memory.current").write_text("2000\n")
    if limit:
        (tmp_path / "memory.max").write_text(limit)
    memory_folder.use_memory(tmp_path)
    assert (memory_folder.VARIABLE in os.environ) is enough


def test_who_names_a_place_for_temporary_folders_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory_folder, "NEEDED", 0)
    monkeypatch.setenv(memory_folder.VARIABLE, "elsewhere")
    memory_folder.use_memory(tmp_path)
    assert os.environ[memory_folder.VARIABLE] == "elsewhere"


@pytest.mark.parametrize("options", [["-p", "no:xdist"], ["-n", "1"]], ids=["alone", "xdist"])
def test_the_terminal_shows_which_server_is_started_and_counts_no_extra_result(tmp_path: Path, options: list[str]):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_progress.py").write_text(TEST)
    command = [sys.executable, "-m", "pytest", *options, "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Starting a server ..." in done.stdout.splitlines(), done.stdout + done.stderr
    assert "1 passed in" in done.stdout
