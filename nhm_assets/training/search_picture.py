"""How a search over families is shown: its trials as a table, and as a picture how far each is behind the best."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from dagster import MetadataValue

from nhm_assets.steps.pictures import (
    CANDIDATE,
    CHAMPION,
    MUTED,
    REQUIRED,
    drawn,
    heading,
    log_pictures,
    markdown,
    new_axes,
    new_figure,
    svg,
)
from nhm_assets.steps.tables import table
from nhm_assets.training.search_choice import Search, table_rows

if TYPE_CHECKING:
    from mlflow import MlflowClient

SEARCH_PICTURE: Final = "search.svg"
_SCORES: Final = ("F1", "standard error", "behind the best", "its standard error")
_COLUMNS: Final = ("trial", "family", *_SCORES, "folds", "MB", "")
_WIDTH, _ROW, _TOP = 900, 34, 64


def search_metadata(client: "MlflowClient", run_id: str, search: Search, warn: Callable[[str], None]) -> dict[str, Any]:
    """What the UI shows of a search; the picture is logged in the MLflow run too."""
    picture = drawn(partial(draw_search, search), warn)
    log_pictures(client, run_id, {SEARCH_PICTURE: picture}, warn)
    shown = {"search": search.reason, "trials": table(_COLUMNS, list(table_rows(search)))}
    return shown | ({"search_picture": MetadataValue.md(markdown("what was tried", picture))} if picture else {})


def draw_search(search: Search) -> bytes:
    """The picture as SVG: a row per family, the simplest first; trials that cannot be chosen are grey."""
    families = list(search.families)
    height = _ROW * len(families)
    figure = new_figure(_WIDTH, _TOP + height + 60)
    heading(figure, "Trials of the search: F1 of approve, and the standard error of the difference to the best")
    axes = new_axes(figure, (190, _TOP, _WIDTH - 230, height))
    for one in search.tried:
        color = CHAMPION if one is search.chosen else CANDIDATE if one.is_whole else MUTED
        place = families.index(one.family)
        axes.errorbar(
            one.f1,
            place,
            xerr=search.errors.get(one.number),
            fmt="o" if one.is_whole else "x",
            color=color,
            alpha=1.0 if one is search.chosen else 0.5,
            zorder=3 if one is search.chosen else 2,
            markersize=5,
            elinewidth=1,
        )
    axes.axvline(search.best.f1, color=REQUIRED, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(families)), families)
    axes.set_ylim(len(families) - 0.5, -0.5)
    meaning = (
        "F1. Red: chosen. Crosses: given up or too large. Dashed: the best; a bar that reaches it is within one"
        " standard error"
    )
    axes.set_xlabel(meaning, color=MUTED, fontsize=8)
    return svg(figure)
