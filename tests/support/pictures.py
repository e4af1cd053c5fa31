"""What a picture shows: its texts, and whether one of them is cut or covers another."""

from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def shown_texts(figure: Any) -> list[Text]:
    """The texts that are drawn."""
    # A figure of its own knows no sizes before it has a canvas that draws.
    FigureCanvasAgg(figure).draw()
    ticks = {
        text
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if axes.axison
        for text in axis.get_ticklabels()
    }
    every = {text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()}
    hidden = {
        text
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in (tick.label1, tick.label2)
    }
    return sorted((every - hidden) | (ticks & every), key=lambda text: text.get_text())


def cut_texts(figure: Any) -> list[str]:
    """Texts that reach beyond the picture."""
    canvas = figure.bbox
    boxes = {text.get_text(): text.get_window_extent() for text in shown_texts(figure)}
    return [
        name for name, box in boxes.items() if not (canvas.contains(box.x0, box.y0) and canvas.contains(box.x1, box.y1))
    ]


def overlapping_texts(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other by more than a pixel."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    return [
        (one, other)
        for (one, box), (other, second) in combinations(boxes, 2)
        if min(box.x1, second.x1) - max(box.x0, second.x0) > 1 and min(box.y1, second.y1) - max(box.y0, second.y0) > 1
    ]
