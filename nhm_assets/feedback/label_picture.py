"""The picture of a dataset: how its labels are balanced, week by week, by who gave the feedback."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from nhm_assets.domain.dataset_schema import APPROVE, CLASS_NAMES, NO_FEEDBACK, PROVENANCES
from nhm_assets.domain.frame_views import columns
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.steps.pictures import (
    LABEL_COLORS,
    MUTED,
    TEXT_SIZE,
    Box,
    heading,
    new_axes,
    new_figure,
    say,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT, _LEFT, _TOP, _BARS = 1000, 310, 60, 96, 150
_GAP: Final = 45
_WEEK: Final = timedelta(days=7)
_INSTANT: Final = timedelta(microseconds=1)
_KEYS: Final = (12, 75, 150)
_BARS_AT_MOST: Final = 26
_LABELLED: Final = 5
"""Bars of a panel that have labels; with more bars, every second, third, ... has."""
_NAMES: Final = {NO_FEEDBACK: "none: made-up rows"}


def draw_labels(frame: pd.DataFrame, partition: Partition, window: Window) -> bytes:
    """The picture as SVG; the arguments are those of `labels_figure`."""
    return svg(labels_figure(frame, partition, window))


def labels_figure(frame: pd.DataFrame, partition: Partition, window: Window) -> "Figure":
    """One panel per provenance that has rows, one bar per week of the window, counted back from its end.

    Args:
        frame: the dataset.
        partition: of the dataset.
        window: the times that its rows lie in.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    title = f"{partition.specialist} {partition.week}: labels of {len(frame)} rows, week by week of the window"
    heading(figure, title)
    _key(figure)
    found = [name for name in PROVENANCES if (frame["provenance"] == name).any()]
    wide = (_WIDTH - _LEFT - 20 - _GAP * max(0, len(found) - 1)) / max(1, len(found))
    for place, provenance in enumerate(found):
        rows = columns(frame, ("submitted_at", "label"))[frame["provenance"] == provenance]
        box = (_LEFT + place * (wide + _GAP), _TOP, min(wide, 430), _BARS)
        _draw_bars(figure, box, rows, window, f"{_NAMES.get(provenance, provenance)}: {len(rows)} rows")
    return figure


def _key(figure: "Figure") -> None:
    style: dict[str, Any] = {"fontsize": TEXT_SIZE, "va": "top", "y": 1 - 42 / _HEIGHT}
    for name, left in zip(CLASS_NAMES, _KEYS, strict=True):
        figure.text(left / _WIDTH, s="\u25a0", color=LABEL_COLORS[name], **style)
        figure.text((left + 14) / _WIDTH, s=name, color=MUTED, **style)
    text = "Number of rows, by the last day of each bar. Above the bars: share of approve."
    figure.text(270 / _WIDTH, s=text, color=MUTED, **style)


def counts_of_bars(rows: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Rows per bar and label: one row per bar, oldest first, one column per label."""
    days = _days_per_bar(window)
    bars = -((window.start - window.end) // days)
    ago = (pd.Timestamp(window.end) - rows["submitted_at"]).dt.total_seconds()
    back = (ago // days.total_seconds()).clip(0, bars - 1).astype("int64")
    counted = pd.crosstab((bars - 1) - back, rows["label"])
    return counted.reindex(index=range(bars), columns=range(len(CLASS_NAMES)), fill_value=0)


def _days_per_bar(window: Window) -> timedelta:
    """A week, or several weeks if the window has too many."""
    weeks = -((window.start - window.end) // _WEEK)
    return _WEEK * -(-weeks // _BARS_AT_MOST)


def _draw_bars(figure: "Figure", box: Box, rows: pd.DataFrame, window: Window, title: str) -> None:
    axes, counts = new_axes(figure, box, title), counts_of_bars(rows, window)
    places, below = range(len(counts)), counts[0] * 0
    for label, name in enumerate(CLASS_NAMES):
        axes.bar(places, counts[label], bottom=below, width=0.7, color=LABEL_COLORS[name])
        below = below + counts[label]
    step = -(-len(counts) // _LABELLED)
    for place in places[::-1][::step]:
        if below[place]:
            # Above its neighbours too, so that it covers none of them.
            top = below.loc[place - step // 2 : place + step // 2].max()
            say(axes, place, top, f"{counts[APPROVE][place] / below[place]:.0%}", ha="center", va="bottom")
    # The window ends before its end.
    last = {place: window.end - _days_per_bar(window) * (len(counts) - 1 - place) - _INSTANT for place in places}
    axes.set_xticks(places[::-1][::step], [f"{last[place]:%m-%d}" for place in places[::-1][::step]])
    axes.set_ylim(0, max(1, below.max()) * 1.15)
    axes.set_yticks([0, int(below.max())])
