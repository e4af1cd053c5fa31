"""A command imports the libraries that its answer needs, and no others: they take longer than its questions."""

import subprocess
import sys
from pathlib import Path

import pytest

from resources.mlflow_database import require_database
from tests.support.nhm import environment

RUN = """
import atexit, sys
from nhm_assets.cli import main
atexit.register(lambda: print("LOADED", *(name for name in {heavy} if name in sys.modules)))
main()
"""
HEAVY = ("mlflow", "dagster", "sqlalchemy", "pandas", "numpy", "pyarrow", "scipy", "sklearn", "matplotlib", "pymongo")


@pytest.mark.servers
@pytest.mark.parametrize(
    ("arguments", "needed", "says"),
    [
        (["status"], "pymongo", "In production"),
        (["audit"], "pymongo", "No decision is recorded"),
        (["ab", "status", "technical"], "pymongo", "has no A/B test"),
        (["lineage", "technical"], "dagster pandas numpy pyarrow pymongo", "has no version in Production"),
    ],
)
def test_a_command_imports_what_its_answer_needs(
    home: Path, mongod_uri: str, database, arguments: list[str], needed: str, says: str
):
    require_database(home / "mlflow")
    settings = {"nhm_home": home, "mongodb_uri": mongod_uri, "mongodb_database": database.name}
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(heavy=HEAVY), *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert says in done.stdout + done.stderr
    assert sorted(done.stdout.splitlines()[-1].split()[1:]) == sorted(needed.split())


ASK = """
import sys
from nhm_assets.commands.dagster_facts import _ask
from nhm_assets.settings import Settings
print(_ask(Settings.load()).fault, *(name for name in {heavy} if name in sys.modules))
"""


@pytest.mark.servers
def test_the_process_that_asks_dagster_imports_nothing_else(home: Path):
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(heavy=HEAVY)],
        env=environment(nhm_home=home),
        capture_output=True,
        text=True,
        timeout=170,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "None dagster sqlalchemy"
