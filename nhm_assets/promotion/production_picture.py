"""The picture of `production_models`: F1 of each specialist's candidates, week by week."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.outcomes import Outcome
from nhm_assets.promotion.production import ProductionRow
from nhm_assets.steps.pictures import (
    CANDIDATE,
    CHAMPION,
    MUTED,
    REQUIRED,
    SURFACE,
    TEXT_SIZE,
    heading,
    new_axes,
    new_figure,
    say,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WEEKS: Final = 12
_COLUMNS: Final = 2
_PANELS: Final = 10
"""More specialists do not fit: those whose last outcome is newest are shown."""
_WIDTH, _PANEL, _LEFT, _TOP = 1000, 175, 60, 90
_DAYS_PER_TICK: Final = 14
_SPAN: Final = 0.25
"""Least difference between the lowest and the highest score that a panel has room for."""

Entry = Mapping[str, Any]


def draw_scores(
    rows: Sequence[ProductionRow], judged: Sequence[Entry], *, now: datetime, required: Mapping[str, float]
) -> bytes:
    """The picture as SVG; the arguments are those of `scores_figure`."""
    return svg(scores_figure(rows, judged, now=now, required=required))


def scores_figure(
    rows: Sequence[ProductionRow], judged: Sequence[Entry], *, now: datetime, required: Mapping[str, float]
) -> "Figure":
    """One panel per specialist.

    Args:
        rows: what is in Production.
        judged: entries of the audit log about candidates, by the end of their windows.
        now: right end of the time axis.
        required: specialist -> the F1 that its candidates must reach.
    """
    shown = sorted(rows, key=lambda row: row.last.at.timestamp() if row.last else 0.0, reverse=True)[:_PANELS]
    chosen = [row for row in rows if row in shown]
    lines = -(-len(chosen) // _COLUMNS)
    figure = new_figure(_WIDTH, _TOP + lines * _PANEL)
    left_out = f" ({len(chosen)} of {len(rows)} specialists)" if len(chosen) < len(rows) else ""
    heading(figure, f"F1 of the candidates of the last {WEEKS} weeks, by the end of their windows{left_out}")
    figure.text(12 / _WIDTH, 1 - 42 / (_TOP + lines * _PANEL), _KEY, fontsize=TEXT_SIZE, color=MUTED, va="top")
    for place, row in enumerate(chosen):
        line, column = divmod(place, _COLUMNS)
        box = (_LEFT + column * 490, _TOP + line * _PANEL, 410, 100)
        serving = f"version {row.version} serves" if row.version else "nothing serves"
        axes = new_axes(figure, box, f"{row.specialist}: {serving}")
        _draw(axes, [entry for entry in judged if entry["model"] == row.model], now, required[row.specialist])
    return figure


_KEY: Final = "Full dot: promoted, with its version. Empty dot: held or superseded. Dashed: required. Orange: below it."


def _draw(axes: "Axes", judged: Sequence[Entry], now: datetime, required: float) -> None:
    axes.axhline(required, color=REQUIRED, linewidth=0.8, linestyle="--")
    days = [(entry["window"]["end"] - now) / timedelta(days=1) for entry in judged]
    scores = [float(entry["metrics"]["f1"]) for entry in judged]
    axes.plot(days, scores, color=CANDIDATE, linewidth=1, alpha=0.4)
    low, high = min([required, *scores]), max([required, *scores])
    for promoted in (True, False):
        for color, reached in ((CANDIDATE, True), (CHAMPION, False)):
            # One call for many dots: each call costs bytes.
            of_kind = [
                (day, score)
                for day, score, entry in zip(days, scores, judged, strict=True)
                if (entry["kind"] == Outcome.PROMOTED) is promoted and (score >= required) is reached
            ]
            if of_kind:
                axes.plot(
                    *zip(*of_kind, strict=True), "o", color=color, markersize=5, mfc=color if promoted else SURFACE
                )
    for day, score, entry in zip(days, scores, judged, strict=True):
        if entry["kind"] == Outcome.PROMOTED:
            text: dict[str, Any] = {"fontsize": TEXT_SIZE, "color": MUTED, "ha": "center"}
            axes.annotate(str(entry["version"]), (day, score), (0, 6), textcoords="offset points", **text)
    if not judged:
        say(axes, -WEEKS * 3.5, required - 0.02, "no candidate was judged", ha="center", va="top")
    # So that chance does not look like news.
    margin = max(0.06, (_SPAN - (high - low)) / 2)
    axes.set(xlim=(-7 * WEEKS - 2, 2), ylim=(low - margin, high + margin + 0.04))
    ticks = range(-7 * WEEKS, 1, _DAYS_PER_TICK)
    axes.set_xticks(list(ticks), [f"{now + timedelta(days=day):%m-%d}" for day in ticks])
    axes.set_yticks(sorted({round(low, 2), round(high, 2), required}) if high - low > 0.08 else [required])
