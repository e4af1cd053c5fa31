"""The picture of a report: how the candidate errs, how sure it is, and what it looks at."""

from typing import TYPE_CHECKING, Final

import numpy as np

from nhm_assets.domain.curve_records import Curves
from nhm_assets.domain.dataset_schema import CLASS_NAMES
from nhm_assets.domain.records import EvaluationReport, Metrics
from nhm_assets.evaluation.gate_rules import GateRules
from nhm_assets.evaluation.posteriors import posterior
from nhm_assets.steps.pictures import (
    CALM,
    CANDIDATE,
    CHAMPION,
    INK,
    MUTED,
    REQUIRED,
    RULE,
    TEXT_SIZE,
    Box,
    heading,
    new_axes,
    new_figure,
    say,
    say_why_empty,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORT_PICTURE: Final = "evaluation.svg"
"""Name of the artifact in MLflow."""
_WIDTH, _HEIGHT = 1000, 630
_CLASSES: Final = [name.replace("_", "\n") for name in CLASS_NAMES]
_FEATURES: Final = 10
"""Features that are shown, the most important ones."""
_NO_DIRECTION: Final = 0.1
"""A rank correlation below is none."""
_UNIT: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw_report(report: EvaluationReport, rules: GateRules) -> bytes:
    """The picture as SVG."""
    return svg(report_figure(report, rules))


def report_figure(report: EvaluationReport, rules: GateRules) -> "Figure":
    """Confusion of candidate and champion, precision and recall, calibration, importances."""
    figure, curves = new_figure(_WIDTH, _HEIGHT), report.curves or Curves()
    champion = report.champion
    heading(
        figure,
        f"{report.specialist} {report.week}: candidate, F1 {report.candidate.f1:.3f}, on {report.test_rows} test rows",
    )
    _confusion(figure, (90, 78, 220, 180), f"Candidate, version {report.version}", report.candidate, CANDIDATE)
    title = f"Champion, version {champion.version}" if champion else "Champion"
    _confusion(figure, (420, 78, 220, 180), title, champion.metrics if champion else None, CHAMPION)
    _precision_recall(figure, (740, 78, 230, 180), report, curves, rules)
    _calibration(figure, (740, 358, 230, 210), curves)
    _importances(figure, (250, 358, 390, 210), report, curves)
    return figure


def _confusion(figure: "Figure", box: Box, title: str, metrics: Metrics | None, color: str) -> None:
    axes = new_axes(figure, box, title)
    if metrics is None:
        say_why_empty(axes, "no champion was compared")
        return
    counts = np.array(metrics.confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    # By hand: a colour map costs an import.
    tint = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    axes.imshow(1 - shares[:, :, None] * (1 - tint), aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 0.6 else INK
        say(axes, column, row, f"{share:.0%}\n{counts[row, column]}", ha="center", va="center", color=ink)
    axes.set_xticks(range(len(_CLASSES)), _CLASSES)
    axes.set_xlabel("predicted: share of the row, and number", fontsize=TEXT_SIZE, color=MUTED)
    axes.set_yticks(range(len(_CLASSES)), [f"is {name}" for name in _CLASSES])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _precision_recall(figure: "Figure", box: Box, report: EvaluationReport, curves: Curves, rules: GateRules) -> None:
    axes = new_axes(figure, box, "Precision and recall of approve")
    points, candidate, champion = curves.precision_recall, report.candidate, report.champion
    axes.axhline(rules.precision_threshold, color=REQUIRED, linewidth=0.8, linestyle="--")
    axes.axvline(rules.recall_threshold, color=REQUIRED, linewidth=0.8, linestyle="--")
    if points:
        axes.plot([one.recall for one in points], [one.precision for one in points], color=CANDIDATE, linewidth=1.6)
    if champion:
        axes.plot(
            champion.metrics.recall,
            champion.metrics.precision,
            marker="s",
            color=CHAMPION,
            markersize=10,
            fillstyle="none",
        )
    axes.plot(candidate.recall, candidate.precision, marker="o", color=CANDIDATE, markersize=7)
    _unit_square(axes, "recall", "precision")
    # Below the line of what is required, and left of it: curves of useful candidates never come there.
    say(axes, 0.03, 0.04, "dashed: required\ndot: as it decides" + ("\nsquare: champion" if champion else ""))


def _calibration(figure: "Figure", box: Box, curves: Curves) -> None:
    axes = new_axes(figure, box, "Calibration of approve")
    if curves.calibration:
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1)
        predicted = [one.predicted for one in curves.calibration]
        shares = [one.approvals / one.rows for one in curves.calibration]
        spans = [posterior(one.approvals, one.rows - one.approvals) for one in curves.calibration]
        axes.vlines(predicted, [one.low for one in spans], [one.high for one in spans], color=CANDIDATE, alpha=0.35)
        axes.plot(predicted, shares, marker="o", markersize=4, linewidth=1.2, color=CANDIDATE)
    else:
        say_why_empty(axes, "not recorded")
    _unit_square(axes, "probability of approve", "labelled approve")


def _unit_square(axes: "Axes", x: str, y: str) -> None:
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.set_xticks(_UNIT)
    # The 0 of both axes would lie on each other.
    axes.set_yticks(_UNIT[1:])
    axes.set_xlabel(x, fontsize=TEXT_SIZE, color=MUTED)
    axes.set_ylabel(y, fontsize=TEXT_SIZE, color=MUTED)


def _importances(figure: "Figure", box: Box, report: EvaluationReport, curves: Curves) -> None:
    axes = new_axes(figure, box, "Importances: F1 lost if the values of a feature are shuffled")
    first = sorted(report.importances.items(), key=lambda item: -item[1])[:_FEATURES]
    lost = [max(0.0, loss) for _, loss in first]
    places = range(len(first))
    axes.barh(places, lost, height=0.62, color=[_color(curves.directions.get(name, 0.0)) for name, _ in first])
    axes.set_yticks(places, [name for name, _ in first])
    axes.invert_yaxis()
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    right = max([*lost, 0.001]) * 1.55
    axes.set_xlim(0, right)
    for place, (name, loss) in enumerate(first):
        text = f"{loss:.3f}{_meaning(curves.directions.get(name, 0.0))}"
        say(axes, max(0.0, loss) + right * 0.015, place, text, va="center")


def _color(direction: float) -> str:
    if abs(direction) < _NO_DIRECTION:
        return CALM
    return CANDIDATE if direction > 0 else CHAMPION


def _meaning(direction: float) -> str:
    if abs(direction) < _NO_DIRECTION:
        return ""
    return f", more of it: {'approve' if direction > 0 else 'not approve'}"
