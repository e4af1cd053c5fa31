"""Folders with the code of earlier commits, to measure what a change has gained or costs."""

import subprocess
from pathlib import Path

from benchmarks.measuring import PROJECT


def has_commit(commit: str) -> bool:
    """Whether this folder is a repository whose history has the commit."""
    asked = ["git", "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(asked, cwd=PROJECT, capture_output=True, check=False).returncode == 0


def tree_of(commit: str, folder: Path) -> Path:
    """A new folder with the files of a commit. Processes with it as PYTHONPATH run that code."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    return folder
