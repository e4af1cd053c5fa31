"""How the benchmarks measure: separate processes, medians of interleaved rounds, and one table."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks" / "results.json"


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


def at_least(name: str, value: float, target: float) -> Figure:
    return Figure(name, f"{value:.2f} x", f"at least {target:g} x", value >= target)


def at_most(name: str, value: float, target: float, unit: str = " x", digits: int = 2) -> Figure:
    return Figure(name, f"{value:.{digits}f}{unit}", f"at most {target:g}{unit}", value <= target)


def print_table(title: str, figures: Sequence[Figure]) -> None:
    """Print the figures, and put them into `results.json` in place of those of the same title."""
    _keep(title, figures)
    answers = {True: "reached", False: "MISSED", None: ""}
    rows = [(one.name, one.value, one.target, answers[one.reached]) for one in figures]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}")
    for name, value, target, answer in rows:
        print(f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {target:<{widths[2]}}  {answer}".rstrip())


def _keep(title: str, figures: Sequence[Figure]) -> None:
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    kept[title] = {**machine, "figures": [asdict(figure) for figure in figures]}
    RESULTS.write_text(json.dumps(kept, indent=2) + "\n")


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
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DAGSTER_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    return kept | quiet


def peak_memory_mb(process: int | str = "self") -> float:
    """The largest resident set of a process (this one, or that with this id) so far, in MB (Linux).

    `getrusage` would also count the parent process, up to the moment when this process started its own program.
    """
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
