"""What `nhm status` found, as text."""

import textwrap
from typing import TYPE_CHECKING, Any

import click

from nhm_assets.domain.links import runbook_link
from nhm_assets.domain.outcomes import outcome_line
from nhm_assets.domain.text import without_middle
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from nhm_assets.commands.health import Service

Facts = dict[str, Any]

_DEAD, _NEVER_RAN = "NhmDaemonStale", "NhmDaemonMissing"
"""Alerts about a daemon."""
_PRODUCTION = (
    "specialist",
    "version",
    "since",
    "window",
    "data version",
    "source",
    "prec.",
    "recall",
    "F1",
    "last outcome",
)
_DECISIONS = ("specialist", "week", "version", "decision", "below in a row", "flip rate", "to settle it")
_RUNS = ("started (UTC)", "run of", "ended", "reason")
_SHOWN = 80
"""Characters of a run's reason that are always shown."""


def print_services(services: "list[Service]") -> None:
    """Print whether each service answers, and where it is."""
    for service in services:
        click.echo(f"{service.name:8} {'FAULT' if service.fault else 'ok':6} {service.address}")
        if service.fault:
            click.echo(f"{'':15} {service.fault}")


def print_facts(facts: Facts, settings: Settings) -> None:
    """Print everything but the services, each of which is printed as soon as it has answered."""
    from nhm_assets.commands.tables import print_table

    _print_live(facts, settings)
    if facts.get("missing_indexes"):
        click.echo(
            f"\nIndexes are missing in database {settings.mongodb_database}, so MongoDB scans whole collections to read"
            " a window. The owner of the database can create them in mongosh:"
        )
        for command in facts["missing_indexes"]:
            click.echo(f"  {command}")
    if facts.get("first_week"):
        click.echo(f"\n{facts['first_week']}.")
    if "production" in facts:
        _print_production(facts["production"])
    _print_decisions(facts)
    if facts.get("runs"):
        click.echo()
        print_table("Last runs", _RUNS, _run_rows(facts["runs"]))
    for move in facts.get("foreign_moves", ()):
        click.echo(f"\n{move['sentence']}. {move['remedy']}")
    for need in _unsaid_needs(facts):
        subject = f"{need['about']}: " if need["about"] else ""
        click.echo(f"\n{subject}{need['sentence']}. See {need['runbook']}")
    for sentence in facts["settings"]:
        click.echo(f"\n{sentence}.")


def _print_production(production: list[Facts]) -> None:
    from nhm_assets.commands.tables import print_table

    click.echo()
    rows = [_production_cells(one) for one in production]
    print_table("In production", _PRODUCTION, rows, numbers={"version", "prec.", "recall", "F1"})
    for one in production:
        _print_why(one)


def _print_decisions(facts: Facts) -> None:
    """The last decisions, and the A/B tests that hold further ones."""
    from nhm_assets.commands.tables import print_table

    if facts.get("decisions"):
        click.echo()
        rows = [_decision_cells(one) for one in facts["decisions"]]
        print_table("Last decisions", _DECISIONS, rows, numbers={"version", "below in a row", "flip rate"})
    for test in facts.get("ab_tests", ()):
        look = f"`nhm ab status {test['specialist']}`"
        click.echo(f"\n{test['specialist']}: the {test['sentence']} runs, and nothing is promoted. {look} measures it")


def _print_live(facts: Facts, settings: Settings) -> None:
    for name in ("daemon", "cluster"):
        if fact := facts.get(name):
            more = ""
            if name == "daemon" and not fact["works"]:
                more = f". See {runbook_link(settings.runbook_url, _DEAD if fact['heartbeat'] else _NEVER_RAN)}"
            click.echo(f"{name:8} {'ok' if fact['works'] else 'no':6} {fact['sentence']}{more}")


def _unsaid_needs(facts: Facts) -> list[Facts]:
    """The needs without those of each part of a dead daemon: the daemon's own line says so once."""
    is_dead = "daemon" in facts and not facts["daemon"]["works"]
    return [need for need in facts["needs"] if not (is_dead and need["alert"] == _DEAD)]


def _run_rows(runs: list[Facts]) -> list[list[str]]:
    """A reason is cut where its line would end, but shows what fits into a usual terminal."""
    from nhm_assets.commands.tables import table_width

    rows = [[one["at"][:16].replace("T", " "), one["subject"], one["ended"]] for one in runs]
    before = sum(max(map(len, cells)) + 1 for cells in zip(*rows, strict=True))
    room = max(_SHOWN, table_width() - before - 1)
    return [[*row, textwrap.shorten(one["reason"] or "", room)] for row, one in zip(rows, runs, strict=True)]


def _print_why(one: Facts) -> None:
    """The reason of the last outcome, and how far people agree with what serves."""
    last, served = one.get("last_outcome"), one.get("served")
    if last and last["reason"]:
        click.echo(outcome_line(one["specialist"], last["outcome"], without_middle(last["reason"], 300)))
    if served:
        click.echo(
            f"{one['specialist']}: the opinions of version {one['version']} in week {served['week']} have F1"
            f" {served['f1']:.3f} against {served['reviewed']} reviews"
        )


def _production_cells(one: Facts) -> list[str]:
    if "since" not in one:
        return [one["specialist"], one["version"] or "none", *[""] * 7, _outcome_cell(one)]
    return [
        one["specialist"],
        one["version"],
        f"{one['since']:%Y-%m-%d %H:%M}",
        f"to {(one['window_end'] or '?')[:10]}",
        (one["data_version"] or "?")[:12],
        one["data_source"] or "?",
        *("?" if one[name] is None else f"{one[name]:.3f}" for name in ("precision", "recall", "f1")),
        _outcome_cell(one),
    ]


def _outcome_cell(one: Facts) -> str:
    last = one.get("last_outcome")
    return f"{last['outcome']} {last['week'] or ''}".strip() if last else ""


def _decision_cells(one: Facts) -> list[str]:
    how = one["how_held"]
    return [
        one["specialist"],
        one["week"],
        str(one["version"]),
        f"{one['outcome']} ({how})" if how else one["outcome"],
        str(one["below_in_a_row"] or ""),
        "" if one["flip_rate"] is None else f"{one['flip_rate']:.2f}",
        _settling_cell(one["settling"]),
    ]


def _settling_cell(settling: Facts | None) -> str:
    if settling is None:
        return ""
    if settling["plans"] is None:
        return "more plans would not settle it: it is on the line"
    classes = f"{settling['approve']} approve, {settling['not_approve']} not"
    return f"{settling['plans']} more reviewed plans ({classes})"
