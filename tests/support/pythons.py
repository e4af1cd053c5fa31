"""The other Python versions that the platform supports, and those of specialists, where this machine has them."""

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
OTHERS = ("3.12", "3.13")


def interpreter(version: str) -> Path | None:
    """A Python of this minor version: one of pyenv's, or on the path."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [*sorted(root.glob(f"versions/{version}.*/bin/python{version}")), shutil.which(f"python{version}")]
    # pyenv's shims are on the path for all versions, and run only the chosen one.
    return next((Path(path) for path in candidates if path and _runs(path)), None)


def full_environment(version: str) -> Path | None:
    """A Python of this minor version that has the packages of the platform, of those that NHM_TEST_PYTHONS names."""
    named = filter(None, os.environ.get("NHM_TEST_PYTHONS", "").split(os.pathsep))
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    return next((Path(one) for one in named if run_on(Path(one), code) == version), None)


def serving_pythons() -> list[Path]:
    """The Pythons of specialists' environments: the usual one, and those of other versions that tests are to ask.

    `make test` creates the one, `make test-serving` the others (tests/environments/serving.txt).
    """
    others = os.environ.get("NHM_TEST_SERVING_PYTHONS", "").split(os.pathsep)
    usual = os.environ.get("NHM_TEST_SERVING_PYTHON", ".venv-serving/bin/python")
    return [Path(one) for one in (usual, *others) if one]


def serving_numpy(minor: str) -> str:
    """The numpy of a specialist's environment with this version of Python; 1.26 does not run on 3.13."""
    return "1.26.4" if minor in ("3.11", "3.12") else "2.1.3"


def _runs(python: Path | str) -> bool:
    return subprocess.run([str(python), "-c", ""], check=False, capture_output=True).returncode == 0


def run_on(python: Path, code: str, *arguments: object) -> str:
    """What this program prints on another Python, which finds this repository but none of its packages."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()
