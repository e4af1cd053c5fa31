"""How every picture looks: one surface, one set of colours, one size of text.

Pictures are shown in Dagster's UI as data addresses in Markdown, and are logged in MLflow. They bring a light surface
of their own, so they read equally on a light and on a dark page. matplotlib takes half a second to import, so only the
functions that draw import it. They use no pyplot: it keeps figures, looks for a screen, and is not thread-safe.
"""

import base64
import io
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

SURFACE: Final = "#ffffff"
INK: Final = "#1c1c1c"
MUTED: Final = "#5a5a5a"
RULE: Final = "#d5d5d5"
CANDIDATE: Final = "#1f6f8b"
CHAMPION: Final = "#b5532a"
CALM: Final = "#9a9a9a"
"""A bar that says nothing either way."""
REQUIRED: Final = "#5a5a5a"
"""The line of what a setting requires."""
LABEL_COLORS: Final = {"approve": "#1f6f8b", "reject": "#b5532a", "review_required": "#c9a227"}
"""Class -> colour."""

DPI: Final = 96
TITLE_SIZE: Final = 9.5
TEXT_SIZE: Final = 8
LARGEST: Final = 150_000
"""Bytes that a picture has at most."""
ARTIFACTS: Final = "pictures"
"""Folder of the pictures in an MLflow run."""
_SAVING: Final = threading.Lock()
_PNG: Final = b"\x89PNG"

Box = tuple[float, float, float, float]
"""Left, top, width and height of the area inside axes, in pixels from the upper left corner of the picture."""


def new_figure(width: int, height: int) -> "Figure":
    """An empty picture of so many pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=SURFACE)


def new_axes(figure: "Figure", box: Box, title: str = "") -> "Axes":
    """Axes in a picture, in the style of all.

    Args:
        figure: the picture.
        box: where they are.
        title: above the axes, aligned left.
    """
    left, top, width, height = box
    wide, high = figure.get_size_inches() * DPI
    axes = figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high), facecolor=SURFACE)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.tick_params(labelsize=TEXT_SIZE, colors=MUTED, labelcolor=MUTED, length=0, pad=4)
    if title:
        axes.set_title(title, fontsize=TITLE_SIZE, color=INK, loc="left", pad=8)
    return axes


def heading(figure: "Figure", text: str) -> None:
    """The title of a whole picture, at its upper left."""
    high = figure.get_size_inches()[1] * DPI
    figure.text(12 / (figure.get_size_inches()[0] * DPI), 1 - 12 / high, text, fontsize=10.5, color=INK, va="top")


def say(axes: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    """A text inside axes, at data coordinates."""
    merged: dict[str, Any] = {"fontsize": TEXT_SIZE, "color": MUTED} | style
    axes.text(x, y, text, **merged)


def say_why_empty(axes: "Axes", why: str) -> None:
    """Axes without ticks, with a text in the middle instead of data."""
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xticks([])
    axes.set_yticks([])
    say(axes, 0.5, 0.5, why, ha="center", va="center")


def svg(figure: "Figure") -> bytes:
    """The picture as SVG; its texts stay texts. The same picture gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # These settings belong to the whole process.
    with _SAVING, mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nhm"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return buffer.getvalue()


def png(figure: "Figure") -> bytes:
    """The picture as PNG: smaller than SVG if it has thousands of points. The same picture gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def markdown(title: str, content: bytes) -> str:
    """Markdown that shows a picture. The title is read out, and is shown where the picture cannot be."""
    kind = "png" if content.startswith(_PNG) else "svg+xml"
    return f"![{title}](data:image/{kind};base64,{base64.b64encode(content).decode()})"


def drawn(draw: Callable[[], bytes], warn: Callable[[str], None]) -> bytes | None:
    """What `draw` returns; None, and a warning, if it fails. No run ends because of a picture."""
    try:
        return draw()
    except Exception as error:  # noqa: BLE001 - fonts, folders, strange numbers: nothing that a run needs
        warn(f"a picture was not drawn ({type(error).__name__}: {error}), so it is missing in Dagster and in MLflow")
        return None


def log_pictures(
    client: "MlflowClient", run_id: str, pictures: Mapping[str, bytes | None], warn: Callable[[str], None]
) -> None:
    """Log pictures as artifacts of an MLflow run.

    Args:
        client: of the tracking server.
        run_id: of the run.
        pictures: name of the file -> content; None for one that was not drawn.
        warn: called if MLflow does not take them. No run ends because of a picture.
    """
    contents = {name: content for name, content in pictures.items() if content}
    if not contents:
        return
    try:
        with tempfile.TemporaryDirectory(prefix="nhm-pictures-") as folder:
            for name, content in contents.items():
                (Path(folder) / name).write_bytes(content)
            client.log_artifacts(run_id, folder, ARTIFACTS)
    except Exception as error:  # noqa: BLE001 - each artifact store raises errors of its own
        warn(f"{', '.join(contents)} were not logged in MLflow run {run_id} ({type(error).__name__}: {error})")
