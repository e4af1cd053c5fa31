"""The picture of a week of `served_quality`: what has moved, and whether promises came true."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from nhm_assets.domain.ab_records import AbResult
from nhm_assets.domain.drift_records import MUCH, SOME, Drift, Estimate, Shift
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.steps.pictures import (
    CALM,
    CANDIDATE,
    CHAMPION,
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
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 1000, 340
_SHIFTS: Final = 8
"""Features that are shown, those that moved most, besides answers and labels."""


def draw_week(quality: ServedQuality) -> bytes:
    """The picture as SVG."""
    return svg(week_figure(quality))


def week_figure(quality: ServedQuality) -> "Figure":
    """Drift, F1 as promised and as it came true, and the A/B test of the week if there is one."""
    figure = new_figure(_WIDTH, _HEIGHT)
    version = f"version {quality.version}" if quality.version else "an unknown version"
    heading(figure, f"{quality.specialist} {quality.week}: {version} serves, until {quality.end:%Y-%m-%d %H:%M} UTC")
    _drift(figure, (200, 78, 220, 200), quality.drift)
    _promises(figure, (500, 78, 240, 200), quality)
    _ab_test(figure, (800, 78, 175, 200), quality.ab_test)
    return figure


def _drift(figure: "Figure", box: Box, drift: Drift | None) -> None:
    axes = new_axes(figure, box, "Drift: PSI; tick: bar of chance")
    shown: Sequence[Shift] = [*drift.of_features[:_SHIFTS], *drift.of_answers, *drift.of_labels] if drift else ()
    if not shown:
        say_why_empty(axes, "not measured")
        return
    places = range(len(shown))
    colors = {"none": CALM, "some": CANDIDATE, "much": CHAMPION}
    axes.barh(places, [one.psi for one in shown], height=0.6, color=[colors[one.band] for one in shown])
    axes.plot([one.bar for one in shown], list(places), "|", color=MUTED, markersize=9)
    axes.set_yticks(places, [one.name for one in shown])
    axes.invert_yaxis()
    for limit in (SOME, MUCH):
        axes.axvline(limit, color=REQUIRED, linewidth=0.8, linestyle="--")
    axes.set_xlim(0, max(1.15 * MUCH, *(1.1 * max(one.psi, one.bar) for one in shown)))
    # 0.1 would lie on 0.
    axes.set_xticks([0, MUCH])


def _promises(figure: "Figure", box: Box, quality: ServedQuality) -> None:
    axes = new_axes(figure, box, "F1: bar as promised, dot by people")
    rows: list[tuple[float, Estimate, float | None]] = [
        (-one.weeks_before, one.estimate, one.realized) for one in quality.checked
    ]
    if quality.estimate and quality.estimate.f1 is not None:
        rows.append((1, quality.estimate, None))
    if not rows:
        say_why_empty(axes, "nothing is reviewed")
        return
    places = [place for place, _, _ in rows]
    axes.vlines(places, [one.low for _, one, _ in rows], [one.high for _, one, _ in rows], color=RULE, linewidth=7)
    reviewed = [(place, realized) for place, _, realized in rows if realized is not None]
    if reviewed:
        axes.plot(*zip(*reviewed, strict=True), "o", color=CANDIDATE, markersize=4)
    axes.set(xlim=(-8, 2), ylim=(0, 1.02))
    axes.set_xticks([-7, 0], ["7 weeks ago", "now"])
    axes.set_yticks([0.5, 1])
    if rows[-1][2] is None:
        say(axes, 1.9, 0.04, "right: not reviewed", ha="right")


def _ab_test(figure: "Figure", box: Box, result: AbResult | None) -> None:
    axes = new_axes(figure, box, "A/B test: difference")
    if result is None:
        say_why_empty(axes, "no test")
        return
    named = [(name, one) for name, one in (("AUC", result.auc), ("precision", result.precision)) if one]
    if not named:
        say_why_empty(axes, "too few reviewed")
        return
    axes.axhline(0, color=RULE, linewidth=1)
    for place, (_, one) in enumerate(named):
        axes.vlines(place, one.low, one.high, color=CANDIDATE, linewidth=5, alpha=0.35)
        axes.plot(place, one.value, "o", color=CANDIDATE, markersize=5)
    reach = 1.15 * max(abs(bound) for _, one in named for bound in (one.low, one.high))
    axes.set(xlim=(-0.7, len(named) - 0.3), ylim=(-reach, reach))
    axes.set_xticks(range(len(named)), [name for name, _ in named])
    axes.tick_params(labelsize=TEXT_SIZE)
    test = result.test
    axes.set_xlabel(f"version {test.challenger} minus {test.champion}", fontsize=TEXT_SIZE, color=MUTED)
