"""The pictures of docs/decision-quality.md, drawn from results-gate.json: `python -m benchmarks.gate_pictures`."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.gate import AT_MOST, PICTURES, RESULTS
from benchmarks.gate_scenarios import FIRST, OURS, WITHOUT_MIDWEEK, WITHOUT_REFERENCE
from benchmarks.gate_tables import Results, f1_per_year

COLORS = {FIRST: "#b5532a", OURS: "#1f6f8b", WITHOUT_MIDWEEK: "#8fb8c5", WITHOUT_REFERENCE: "#8fb8c5"}
_OTHERS = "#777777"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gate",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Texts stay texts, and the same results give the same files."""
_LABELLED_BELOW = ("three weeks pooled", "Wilson bounds alone, 80 %", "Wilson bounds alone, 95 %")
_LABELLED_LEFT = ("this gate",)
_SIZES_SHOWN = (100, 225, 600)


def draw(results: Results, folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(_STYLE):
        for name, (draw_one, part, panels, height) in _PICTURES.items():
            figure = Figure(figsize=(7.2, height), layout="constrained")
            draw_one(figure.subplots(1, panels, squeeze=False)[0], part(results))
            # Without the date, so that equal pictures are equal files. On white, for readers with a dark page.
            metadata = {"Date": None, "Description": source_of(results)}
            figure.savefig(folder / name, format="svg", metadata=metadata, facecolor="white")


def source_of(results: Results) -> str:
    """What a picture says of the results that it was drawn from."""
    content = json.dumps(results, sort_keys=True).encode()
    return f"results-gate.json {hashlib.blake2b(content, digest_size=8).hexdigest()}"


def _draw_gates(panels: Sequence[Axes], gates: Results) -> None:
    axes = panels[0]
    for name, found in gates.items():
        (holds, holds_error), (mild, mild_error) = found["wrong_holds"], found["mild"]
        color = COLORS.get(name, _OTHERS)
        axes.errorbar(holds, mild, xerr=2 * holds_error, yerr=2 * mild_error, fmt="o", color=color, capsize=2)
        place, side = ((-6, -14), "right") if name in _LABELLED_LEFT else ((7, 5), "left")
        place = (7, -14) if name in _LABELLED_BELOW else place
        axes.annotate(name, (holds, mild), xytext=place, textcoords="offset points", color=color, ha=side)
    axes.axhline(AT_MOST["mild"], color=_OTHERS, linewidth=0.8, linestyle=":")
    axes.axvline(AT_MOST["wrong_holds"], color=_OTHERS, linewidth=0.8, linestyle=":")
    axes.annotate("targets", (AT_MOST["wrong_holds"], 0), xytext=(4, 4), textcoords="offset points", color=_OTHERS)
    axes.set(xlabel="wrong holds per year", ylabel="bad promotions per year", xlim=(0, None), ylim=(0, None))
    axes.margins(x=0.22)


def _draw_sizes(panels: Sequence[Axes], found: Results) -> None:
    questions = (
        ("alone", "distance", "true precision and recall minus thresholds"),
        ("compared", "advantage", "true F1 minus the champion's"),
    )
    for axes, (question, name, label) in zip(panels, questions, strict=True):
        for rows, style in zip(_SIZES_SHOWN, (":", "--", "-"), strict=True):
            points = [one for one in found[question] if one["rows"] == rows]
            for gate in (FIRST, OURS):
                values = [[one[key] for one in points] for key in (name, gate)]
                axes.plot(*values, style, color=COLORS[gate], label=f"{gate}, {rows} test rows")
        axes.axvline(0, color=_OTHERS, linewidth=0.6)
        axes.set(xlabel=label, ylim=(0, 1))
        axes.locator_params(axis="x", nbins=6)
    panels[0].set_ylabel("share of candidates promoted")
    panels[0].legend(frameon=False, fontsize=7)


def _draw_mid_week(panels: Sequence[Axes], tries: list[Results]) -> None:
    days = sorted({one["days"] for one in tries})
    axes = panels[0]
    for shift, gate in enumerate((FIRST, WITHOUT_MIDWEEK, OURS)):
        found = [next(one["mild"] for one in tries if (one["days"], one["gate"]) == (day, gate)) for day in days]
        means, errors = zip(*found, strict=True)
        places = [place + 0.26 * (shift - 1) for place in range(len(days))]
        double = [2 * error for error in errors]
        axes.bar(places, means, 0.24, yerr=double, color=COLORS[gate], label=gate, capsize=2, ecolor=_OTHERS)
    axes.set_xticks(range(len(days)), [f"a try each {day:g} days" for day in days])
    axes.set_ylabel("bad promotions per year")
    axes.legend(frameon=False)


def _draw_ratchet(panels: Sequence[Axes], declines: list[Results]) -> None:
    axes = panels[0]
    decline = [f1_per_year(one["decline"]) for one in declines]
    for gate in (FIRST, WITHOUT_REFERENCE, OURS):
        means, errors = zip(*(one[gate] for one in declines), strict=True)
        double = [2 * error for error in errors]
        axes.errorbar(decline, means, yerr=double, fmt="o-", color=COLORS[gate], label=gate, capsize=2)
    axes.set(xlabel="decline of new candidates, F1 per year", ylabel="slide of the served F1", ylim=(0, None))
    axes.legend(frameon=False)


def _draw_confidence(panels: Sequence[Axes], found: list[Results]) -> None:
    names = (("mild", "bad promotions per year"), ("wrong_holds", "wrong holds per year"))
    for axes, (name, label) in zip(panels, names, strict=True):
        values: list[Any] = [one["confidence"] for one in found]
        means, errors = zip(*(one[name] for one in found), strict=True)
        double = [2 * error for error in errors]
        axes.errorbar(values, means, yerr=double, fmt="o-", color=COLORS[OURS], capsize=2)
        axes.axhline(AT_MOST[name], color=_OTHERS, linewidth=0.8, linestyle=":")
        axes.set(xlabel="GATE_CONFIDENCE", ylabel=label, ylim=(0, None))


_PICTURES: dict[str, tuple[Callable[[Sequence[Axes], Any], None], Callable[[Results], Any], int, float]] = {
    "gates.svg": (_draw_gates, lambda results: results["year"]["gates"], 1, 4.0),
    "test-sizes.svg": (_draw_sizes, lambda results: results["test_sizes"], 2, 3.2),
    "mid-week.svg": (_draw_mid_week, lambda results: results["mid_week"], 1, 3.2),
    "ratchet.svg": (_draw_ratchet, lambda results: results["ratchet"], 1, 3.2),
    "confidence.svg": (_draw_confidence, lambda results: results["confidence"], 2, 3.2),
}
"""File, what draws it, its part of the results, number of panels, height in inches."""


if __name__ == "__main__":
    draw(json.loads(RESULTS.read_text()), PICTURES)
