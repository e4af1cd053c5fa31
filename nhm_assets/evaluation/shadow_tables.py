"""The shadow as tables and picture, for the UI."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dagster import MetadataValue

from nhm_assets.domain.shadow_records import Shadow, ShadowPlan, Shift
from nhm_assets.steps.links import Links, as_text
from nhm_assets.steps.pictures import markdown
from nhm_assets.steps.tables import table

if TYPE_CHECKING:
    from nhm_assets.evaluation.shadow_replay import ShadowRun


def shadow_metadata(shadow: Shadow | None, run: "ShadowRun | None", links: Links) -> dict[str, Any]:
    """Metadata of the report.

    Args:
        shadow: of the report.
        run: the same with its picture; None for a report of an earlier run.
        links: to plans.
    """
    if shadow is None:
        return {}
    shown: dict[str, Any] = {"shadow": MetadataValue.md(shadow_table(shadow))}
    if shadow.largest:
        shown["shadow_largest_changes"] = _plans_table(shadow, links)
    if run and run.picture:
        shown["shadow_picture"] = MetadataValue.md(markdown("champion and candidate", run.picture))
    return shown


def shadow_table(shadow: Shadow) -> str:
    """The figures in Markdown."""
    if shadow.fault:
        return f"Nothing was compared: {shadow.fault}."
    since = f" since {shadow.since:%Y-%m-%d %H:%M} UTC" if shadow.since else ""
    lines = ["| shadow | |", "|---|---|", f"| champion | version {shadow.champion}{since} |"]
    lines += [f"| plans asked | {shadow.plans} |", f"| plans without usable features | {shadow.unusable} |"]
    for name, value in (
        ("agreement", shadow.agreement),
        ("same class", shadow.same_class),
        ("same side of 0.8 confidence", shadow.same_side),
    ):
        lines.append(f"| {name} | {_number(value)} |")
    lines += [f"| change of {name} | {_shift(shift)} |" for name, shift in _shifts(shadow)]
    if shadow.said:
        said = shadow.said
        lines.append(f"| opinions by the champion | {said.by_champion} |")
        lines.append(f"| opinions by others, or by no model | {said.by_others} |")
        lines.append(f"| confidence of champion now and opinion then, difference | {_number(said.difference)} |")
        lines.append(f"| candidate and opinion on the same side of 0.8 confidence | {_number(said.agreement)} |")
    return "\n".join(lines)


def _shifts(shadow: Shadow) -> list[tuple[str, Shift | None]]:
    return [("confidence", shadow.confidence), ("risk", shadow.risk)]


def _shift(shift: Shift | None) -> str:
    return f"mean {shift.mean:+.3f}, 5 % {shift.low:+.3f}, 95 % {shift.high:+.3f}" if shift else "none"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _plans_table(shadow: Shadow, links: Links) -> MetadataValue:
    """A table of Dagster's, or one in Markdown if the plans have an address: only that can hold links."""
    columns = ("plan", "opinion", "champion", "candidate", "confidence", "risk", "said")
    rows = [_plan_row(plan) for plan in shadow.largest]
    if links.plans is None:
        return table(columns, rows)
    linked = [[links.plan(plan), *map(as_text, cells)] for plan, *cells in rows]
    lines: list[Sequence[str]] = [columns, ["---"] * len(columns), *linked]
    return MetadataValue.md("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _plan_row(plan: ShadowPlan) -> list[str]:
    return [
        plan.plan_id,
        plan.opinion_id or "",
        plan.champion_class,
        plan.candidate_class,
        f"{plan.champion_confidence:.3f} to {plan.candidate_confidence:.3f}",
        f"{plan.champion_risk:.3f} to {plan.candidate_risk:.3f}",
        "" if plan.said_confidence is None else f"{plan.said_confidence:.3f}",
    ]
