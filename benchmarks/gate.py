"""How often the gate is wrong, in simulated years with known truth (`make bench-gate`).

Exits with 1 if a target is missed.
`python -m benchmarks.gate` prints what docs/decision-quality.md shows. With `--write` it also replaces
results-gate.json, and the tables and pictures of that document.
"""

import json
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks import gate_scenarios as scenarios
from benchmarks.measuring import PROJECT, Figure, print_table

RESULTS = PROJECT / "benchmarks/results-gate.json"
DOCUMENT = PROJECT / "docs/decision-quality.md"
PICTURES = PROJECT / "docs/decision-quality"
SCENARIOS = {
    "mid_week": scenarios.mid_week,
    "year": scenarios.year,
    "ratchet": scenarios.ratchet,
    "recurring_plans": scenarios.recurring_plans,
    "test_sizes": scenarios.sizes,
    "confidence": scenarios.confidences,
}
"""The longest first."""
SPECIFIED = {"mild": (2.17, 0.06), "serious": (0.20, 0.02), "wrong_holds": (4.70, 0.19)}
"""The first gate's figures that the world was described with, and their standard errors."""
AT_MOST = {"mild": 1.0, "serious": 0.03, "wrong_holds": 6.5}
NAMES = {"mild": "bad promotions", "serious": "serious ones", "wrong_holds": "wrong holds"}
LEAST_SLIDE_BEFORE, MOST_SLIDE = 0.08, 0.025


def simulate() -> dict[str, Any]:
    """The answers of all scenarios."""
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        answers = {name: pool.submit(scenario) for name, scenario in SCENARIOS.items()}
        return {"seed": scenarios.SEED} | {name: answer.result() for name, answer in answers.items()}


def targets(results: dict[str, Any]) -> list[Figure]:
    """What this gate must reach, and whether the world is the one that was described."""
    gates = results["year"]["gates"]
    first, ours = gates[scenarios.FIRST], gates[scenarios.OURS]
    figures = [_figure(f"this gate: {NAMES[name]} per year", ours[name], most) for name, most in AT_MOST.items()]
    figures += [_as_described(name, first[name]) for name in SPECIFIED]
    slides = next(one for one in results["ratchet"] if one["decline"] == scenarios.RATCHET_DECLINE)
    before = slides[scenarios.FIRST][0]
    decisions, differ = (results["year"]["twin"][name] for name in ("decisions", "differ"))
    return [
        *figures,
        _figure("this gate: slide of F1 in a year of decline", slides[scenarios.OURS], MOST_SLIDE, digits=3),
        Figure("first gate: the same", f"{before:.3f}", f"at least {LEAST_SLIDE_BEFORE}", before >= LEAST_SLIDE_BEFORE),
        Figure(f"of {decisions} decisions, those that its twin decides otherwise", f"{differ}", "0", not differ),
    ]


def _figure(name: str, found: list[float], most: float, *, digits: int = 2) -> Figure:
    mean, error = found
    return Figure(name, f"{mean:.{digits}f} ± {error:.{digits}f}", f"at most {most:g}", mean <= most)


def _as_described(name: str, found: list[float]) -> Figure:
    """Within three standard errors of the difference."""
    (mean, error), (described, its_error) = found, SPECIFIED[name]
    near = abs(mean - described) <= 3 * (error**2 + its_error**2) ** 0.5
    return Figure(f"first gate: {NAMES[name]} per year", f"{mean:.2f} ± {error:.2f}", f"about {described:.2f}", near)


def write(results: dict[str, Any]) -> None:
    """Replace the recorded results, and what the document shows of them."""
    from benchmarks.gate_pictures import draw
    from benchmarks.gate_tables import with_tables

    # Mean and standard error on one line.
    text = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", json.dumps(results, indent=1))
    RESULTS.write_text(text + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), results))
    draw(results, PICTURES)


def main() -> int:
    from benchmarks.gate_tables import blocks

    results = simulate()
    if "--write" in sys.argv[1:]:
        write(results)
    for lines in blocks(results).values():
        print("\n" + "\n".join(lines))
    figures = targets(results)
    print_table("How often the gate is wrong", figures)
    return int(any(figure.reached is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
