"""How the benchmarks measure: separate processes, interleaved rounds, and tables on the terminal."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        value: the figure, with its unit.
        target: what it should be. Empty if the figure only explains another one.
        reached: whether it reaches the target. None without a target.
    """

    name: str
    value: str
    target: str = ""
    reached: bool | None = None


def print_table(title: str, figures: Sequence[Figure]) -> None:
    """Print the figures."""
    answers = {True: "reached", False: "MISSED", None: ""}
    rows = [(one.name, one.value, one.target, answers[one.reached]) for one in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}")
    for name, value, target, answer in rows:
        print(f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {target:<{widths[2]}}  {answer}".rstrip())


def rounds(usual: int) -> int:
    """How often to measure: as usual, or BENCH_ROUNDS times, to see whether everything works."""
    return int(os.environ.get("BENCH_ROUNDS", usual))


def child(arguments: Sequence[str], environment: Mapping[str, str]) -> Any:
    """Run a module of this project in a new process, and parse its last line as JSON."""
    answer = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT,
        env=clean_environment() | dict(environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def clean_environment() -> dict[str, str]:
    """The environment of this process without the platform's settings. Python may write bytecode.

    Without bytecode, every process would compile all modules again, which would double both sides of a ratio.
    """
    from nhm_assets.settings import Settings

    ours = {name.upper() for name in Settings.model_fields} | {"PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DAGSTER_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return kept | quiet | {"PYTHONWARNINGS": "ignore"}


def peak_memory_mb(process: int | str = "self") -> float:
    """The largest resident set of a process (this one, or that with this id) so far, in MB (Linux).

    `getrusage` would also count the parent process, up to the moment when this process started its own program.
    """
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
