"""What `make bench` measures, in one form: each figure with all its rounds, printed and recorded in `results.json`.

`python -m benchmarks.results` writes the tables of docs/performance.md and docs/scale.md from the recorded figures.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from textwrap import wrap
from typing import Any, Final

from benchmarks.blocks import with_blocks
from benchmarks.measuring import PROJECT, Figure, print_table

RESULTS: Final = PROJECT / "benchmarks" / "results.json"
DOCUMENT: Final = PROJECT / "docs" / "performance.md"
OF_SCALE: Final = PROJECT / "docs" / "scale.md"
SIMULATED: Final = "Simulated weeks"
ONE_RUN: Final = "One run of {rows:,} rows"
RATIO: Final = "x"
_WIDTH: Final = 120
_PACKAGES: Final = ("dagster", "mlflow", "numpy", "pandas", "pymongo", "scikit-learn")
_ANSWERS: Final = {True: "reached", False: "missed"}

Part = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One figure.

    Attributes:
        name: what was measured.
        values: the figure in each round. A ratio is taken within a round: only what runs at nearly the same time is
            comparable.
        unit: of the values; `RATIO` for a ratio.
        digits: after the decimal point, in tables.
        least, most: the target. None if the figure only explains another one.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    digits: int
    least: float | None = None
    most: float | None = None

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the median reaches the target. None without a target."""
        if self.least is not None:
            return self.median >= self.least
        return None if self.most is None else self.median <= self.most

    @property
    def target(self) -> str:
        """In words. Empty without a target."""
        if self.least is not None:
            return f"at least {self.least:g} {self.unit}".rstrip()
        return "" if self.most is None else f"at most {self.most:g} {self.unit}".rstrip()

    def recorded(self) -> Part:
        """This figure in `results.json`."""
        rounded = [float(f"{value:.4g}") for value in (self.median, min(self.values), max(self.values))]
        return {
            "name": self.name,
            "median": rounded[0],
            "spread": rounded[1:],
            "unit": self.unit,
            "digits": self.digits,
            "ratio": self.unit == RATIO,
            "rounds": len(self.values),
            "target": self.target,
            "reached": self.reached,
        }


def measured(name: str, values: float | Iterable[float], unit: str = "s", digits: int = 1) -> Measured:
    """A figure that explains others."""
    return Measured(name, _rounds_of(values), unit, digits)


def ratio(name: str, values: float | Iterable[float]) -> Measured:
    """A ratio without a target."""
    return Measured(name, _rounds_of(values), RATIO, 2)


def at_least(name: str, values: float | Iterable[float], target: float) -> Measured:
    """A ratio that should not be smaller."""
    return Measured(name, _rounds_of(values), RATIO, 2, least=target)


def at_most(name: str, values: float | Iterable[float], target: float, unit: str = RATIO, digits: int = 2) -> Measured:
    """A figure that should not be larger."""
    return Measured(name, _rounds_of(values), unit, digits, most=target)


def _rounds_of(values: float | Iterable[float]) -> tuple[float, ...]:
    return tuple(map(float, values)) if isinstance(values, Iterable) else (float(values),)


def report(title: str, figures: Sequence[Measured]) -> None:
    """Print the figures, and put them into `results.json` in place of those of the same title."""
    part = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": _machine(), "versions": _versions()}
    part["figures"] = [one.recorded() for one in figures]
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(as_text(kept | {title: part}))
    print_table(title, [Figure(one.name, _value(one.recorded()), one.target, one.reached) for one in figures])


def as_text(results: dict[str, Part]) -> str:
    """The content of `results.json`: one line per figure, so that changes are easy to read."""
    parts = []
    for title, part in results.items():
        head = [f"    {json.dumps(name)}: {json.dumps(part[name])}," for name in ("date", "machine", "versions")]
        figures = ",\n".join(f"      {json.dumps(one, ensure_ascii=False)}" for one in part["figures"])
        parts.append("\n".join([f"  {json.dumps(title)}: {{", *head, f'    "figures": [\n{figures}\n    ]\n  }}']))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _machine() -> Part:
    """Cores, and how many processes wanted one on average in the last quarter of an hour, these among them."""
    return {"cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[2], 1)}


def _versions() -> dict[str, str]:
    from resources.embedded_mongo import find_mongod

    said = subprocess.run([find_mongod(), "--version"], capture_output=True, text=True, check=True).stdout
    found = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "mongod": said.split()[2].removeprefix("v"), **found}


def _value(one: Part) -> str:
    digits, (low, high) = one["digits"], one["spread"]
    said = f"{one['median']:,.{digits}f} {one['unit']}".rstrip()
    return said if one["rounds"] == 1 else f"{said} ({low:,.{digits}f} to {high:,.{digits}f})"


def blocks(results: dict[str, Part]) -> dict[str, list[str]]:
    """The lines of each block of docs/performance.md, by name: the figures with a target."""
    parts = {title: part for title, part in results.items() if not _is_of_scale(title)}
    rows = ["| | Median, and its spread | Rounds | Target | |", "|---|---|---|---|---|"]
    for title, part in parts.items():
        rows.append(f"| **{title}** | | | | |")
        rows += [
            f"| {one['name']} | {_value(one)} | {one['rounds']} | {one['target']} | {_ANSWERS[one['reached']]} |"
            for one in part["figures"]
            if one["target"]
        ]
    return {"table": rows, "machine": _said_of_machines(parts)}


def blocks_of_scale(results: dict[str, Part]) -> dict[str, list[str]]:
    """The lines of each block of docs/scale.md, by name."""
    simulated = {SIMULATED: results[SIMULATED]}
    rows = [f"| {one['name']} | {_value(one)} |" for one in results[SIMULATED]["figures"]]
    return {"simulated": ["| | |", "|---|---|", *rows], "simulated_on": _said_of_machines(simulated)}


def _is_of_scale(title: str) -> bool:
    return title == SIMULATED or title.startswith(ONE_RUN.partition("{")[0])


def _said_of_machines(results: dict[str, Part]) -> list[str]:
    dates = sorted({part["date"] for part in results.values()})
    days = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    cores = " or ".join(map(str, sorted({part["machine"]["cores"] for part in results.values()})))
    loads = sorted(part["machine"]["load"] for part in results.values())
    load = " to ".join(f"{one:g}" for one in dict.fromkeys((loads[0], loads[-1])))
    versions = next(reversed(results.values()))["versions"]
    said = f"Measured {days} on {cores} cores. Load average of 15 minutes, this included: {load}. Versions: "
    return wrap(said + ", ".join(f"{name} {number}" for name, number in versions.items()) + ".", _WIDTH)


def main() -> None:
    """Write the recorded figures into the documents."""
    results = json.loads(RESULTS.read_text())
    DOCUMENT.write_text(with_blocks(DOCUMENT.read_text(), blocks(results)))
    OF_SCALE.write_text(with_blocks(OF_SCALE.read_text(), blocks_of_scale(results)))


if __name__ == "__main__":
    main()
