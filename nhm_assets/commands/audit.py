"""`nhm audit`: who decided what about the models, when and why, and what was in Production at any time."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import Specialist, all_specialists, configured_specialist
from nhm_assets.settings import Settings

_COLUMNS = ("time (UTC)", "specialist", "what", "version", "before", "who", "from", "why")
_AT_A_TIME = ("specialist", "version", "since (UTC)", "what", "who")


@click.command()
@click.argument("specialist", metavar="[SPECIALIST|ID]", required=False)
@click.option("--since", metavar="TIME", help="Only decisions from this ISO time on. Without an offset it is UTC.")
@click.option(
    "--version", metavar="N", help="Only decisions about this version, or that moved it away or deleted its files."
)
@click.option("--as-of", metavar="TIME", help="Show what was in Production at this ISO time instead.")
@click.option("--json", "as_json", is_flag=True, help="Print whole entries of the audit log, as JSON.")
def audit(specialist: str | None, since: str | None, version: str | None, as_of: str | None, *, as_json: bool) -> None:
    """Show the decisions about a SPECIALIST's models, newest first; without a SPECIALIST, about all.

    With the ID of an entry, as Dagster's pages name it, show that entry whole.

    They come from `model_audit_log`: registrations, promotions, rollbacks, adoptions, held candidates, refused
    requests, broken runs and moves by others, each with who, when and why.
    """
    if as_of and (since or version):
        raise UsageError("--as-of shows one moment: leave out --since and --version")
    settings = Settings.load()
    start, moment = _time(since, "--since"), _time(as_of, "--as-of")
    with startup_without_gc():
        from nhm_assets.domain.partitions import parse_specialist
        from nhm_assets.registry.audit_log import AUDIT_LOG
        from nhm_assets.registry.history import entries, in_production_at, known_specialist, time_of
        from nhm_assets.resource_factories import mongo_of

    with mongo_of(settings).database() as database:
        log = database[AUDIT_LOG]
        chosen = list(all_specialists())
        if specialist and not configured_specialist(specialist) and (entry := log.find_one({"_id": specialist})):
            _print_json(entry)
            return
        if specialist:
            chosen = [known_specialist(log, specialist) or parse_specialist(specialist)]
        if moment:
            there = {one: in_production_at(log, one.registered_model, moment) for one in chosen}
            _print_moment(there, moment, as_json=as_json)
            return
        found = [entry for one in chosen for entry in entries(log, one.registered_model, since=start, version=version)]
    _print_entries(sorted(found, key=time_of, reverse=True), as_json=as_json)


def _time(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} is no ISO time, such as 2026-11-22T02:00") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _print_entries(found: list[dict[str, Any]], *, as_json: bool) -> None:
    from nhm_assets.commands.tables import print_table

    if as_json:
        _print_json(found)
        return
    if not found:
        click.echo("No decision is recorded that fits.")
        return
    print_table("Decisions, newest first", _COLUMNS, map(_row, found), numbers={"version", "before"})


def _row(entry: dict[str, Any]) -> list[str]:
    names = ("specialist", "kind", "version", "from_version", "actor", "origin", "reason")
    # A deletion of files concerns several versions.
    shown = {"version": ", ".join(entry.get("versions") or ()), **entry}
    return [_shown_time(entry), *(_text(shown.get(name)) for name in names)]


def _print_moment(there: dict[Specialist, dict[str, Any] | None], moment: datetime, *, as_json: bool) -> None:
    from nhm_assets.commands.tables import print_table

    if as_json:
        _print_json({"as_of": moment, "in_production": {str(one): entry for one, entry in there.items()}})
        return
    rows = [[str(one), *_champion(entry)] for one, entry in there.items()]
    print_table(f"In production at {moment:%Y-%m-%d %H:%M} UTC", _AT_A_TIME, rows, numbers={"version"})


def _champion(entry: dict[str, Any] | None) -> list[str]:
    if entry is None:
        return ["none", "", "", ""]
    return [_text(entry.get("version")), _shown_time(entry), entry["kind"], _text(entry.get("actor"))]


def _shown_time(entry: dict[str, Any]) -> str:
    from nhm_assets.registry.history import time_of

    return f"{time_of(entry):%Y-%m-%d %H:%M}"


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _print_json(content: dict[str, Any] | Iterable[dict[str, Any]]) -> None:
    click.echo(json.dumps(content, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
