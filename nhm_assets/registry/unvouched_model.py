"""Asks a model that the audit log does not vouch for, in a process that has nothing to steal.

Loading a model runs code from its file. A version from elsewhere may hold any code, so a process loads it that has none
of our environment (passwords, addresses) and, where the kernel allows it, no network and no files but Python's own and
those of the model. What it answers is data: nothing of it is unpickled here.
"""

import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from nhm_assets.domain.errors import RegistryError

_log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 300
_LARGEST_ANSWER: Final = 100_000_000
"""Bytes. Probabilities of a million rows need 24 million."""
_LONGEST_REASON: Final = 200
_PROGRAM: Final = "nhm_assets.registry.unvouched_process"
ROWS, ANSWER, CLASSES = "rows.parquet", "answer.npy", "classes.json"
"""Files in the folder that both processes share."""
LEFT: Final = "This machine cannot keep a model from"


def ask_unvouched(files: Path, features: pd.DataFrame) -> tuple[np.ndarray, list[Any] | None]:
    """What a model answers about these rows.

    Args:
        files: the folder with the model.
        features: the rows to ask about.

    Returns:
        The answer, an array of any shape, and the classes of the estimator if it names them.

    Raises:
        RegistryError: it cannot be loaded, does not answer, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="nhm-unvouched-") as name:
        folder = Path(name)
        features.to_parquet(folder / ROWS)
        _run(files, folder)
        return _answer(folder), _classes(folder)


def _run(files: Path, folder: Path) -> None:
    command = [sys.executable, "-I", "-m", _PROGRAM, str(files), str(folder)]
    # No variable of ours. Libraries of MLflow write to HOME.
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(  # noqa: S603 - our own program and two folders of ours
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RegistryError(f"it does not answer within {_TIMEOUT_S} s") from None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode:
        raise RegistryError((said or [f"its process ended with {done.returncode}"])[-1][:_LONGEST_REASON])
    for line in said:
        if line.startswith(LEFT):
            _log.warning("%s; it was loaded without our environment.", line[:_LONGEST_REASON])


def _answer(folder: Path) -> np.ndarray:
    path = folder / ANSWER
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_ANSWER:
            raise RegistryError("its answer is too large")
        # Never pickle: the process that wrote this ran code of the model.
        return np.asarray(np.load(path, allow_pickle=False), dtype="float64")
    except (OSError, ValueError, EOFError) as error:
        raise RegistryError(f"its answer cannot be read ({str(error)[:_LONGEST_REASON]})") from None


def _classes(folder: Path) -> list[Any] | None:
    path = folder / CLASSES
    try:
        if path.is_symlink() or path.stat().st_size > _LONGEST_REASON * 10:
            return None
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, list) else None
