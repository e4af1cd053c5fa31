"""`nhm status`: whether the services answer, what is in production, and what was decided last about each specialist."""

import json
import sys
import textwrap
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from nhm_assets.commands.health import Service
    from nhm_assets.promotion.production import ProductionRow

Facts = dict[str, Any]

_NEEDS_A_PERSON = 3
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
_DECISIONS = ("specialist", "week", "version", "decision", "below in a row", "flip rate", "would settle it")

_RUNS = ("started (UTC)", "run of", "ended", "reason")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def status(*, as_json: bool) -> None:
    """Show the services, daemon and cluster, what is in production, the last decisions and the last runs.

    The services are MongoDB, MLflow, storage and Dagster's database. With --json, all metrics of `nhm exporter` are
    there too. Exit code: 0 if all services answer and nothing needs a person, 1 if one does not answer, 3 if something
    needs a person; each such thing is named, with its section of the runbook.
    """
    settings = Settings.load()
    with startup_without_gc():
        from nhm_assets.commands.health import check_services
        from nhm_assets.instance.home import prepare_home
        from nhm_assets.resource_factories import mongo_of

        prepare_home(settings)
        services = check_services(settings)
    if not as_json:
        _print_services(services)
    answering = {service.name for service in services if not service.fault}
    # A local mongod starts once for all questions.
    with mongo_of(settings).held() if "MongoDB" in answering else nullcontext():
        facts: Facts = {
            "services": [{"name": one.name, "address": one.address, "fault": one.fault} for one in services],
            **_facts(settings, answering),
            **_seen_by_the_exporter(settings, answering),
            "settings": [remark.sentence for remark in settings.remarks],
        }
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=_iso))
    else:
        _print(facts, settings)
    if any(service.fault for service in services):
        sys.exit(1)
    sys.exit(_NEEDS_A_PERSON if facts["needs"] or facts.get("foreign_moves") else 0)


def _facts(settings: Settings, answering: set[str]) -> Facts:
    """What can be said with the services that answer."""
    facts: Facts = {}
    if "MongoDB" in answering:
        facts["missing_indexes"] = _missing_indexes(settings)
        facts["first_week"] = _misfit_of_first_week(settings)
    if "MLflow" in answering:
        facts["production"] = _production(settings, answering)
    if "MongoDB" in answering:
        facts["decisions"] = _decisions(settings)
    if {"MongoDB", "MLflow"} <= answering:
        facts["foreign_moves"] = _foreign_moves(settings)
    if "Dagster" in answering:
        facts |= _live(settings)
    return facts


def _seen_by_the_exporter(settings: Settings, answering: set[str]) -> Facts:
    """The metrics of `nhm exporter` from the services that answer, and what they say of things that need a person."""
    from nhm_assets.instance.home import dagster_instance
    from nhm_assets.monitoring.exporter import Exporter
    from nhm_assets.monitoring.needs import needs

    exporter = Exporter.of(settings, lambda: dagster_instance(settings))
    exporter.refresh(only={name.lower() for name in answering})
    readings = exporter.readings()
    found = needs(readings, now=datetime.now(UTC), runbook=settings.runbook_url)
    return {"needs": [asdict(need) for need in found], "metrics": readings.as_json()}


def _live(settings: Settings) -> Facts:
    from nhm_assets.commands.live import cluster_facts, daemon_facts, run_facts
    from nhm_assets.instance.home import dagster_instance

    with dagster_instance(settings) as instance:
        return {
            "daemon": daemon_facts(instance, datetime.now(UTC)),
            "runs": run_facts(instance),
            "cluster": cluster_facts(settings),
        }


def _missing_indexes(settings: Settings) -> list[str]:
    from nhm_assets.feedback.seen import missing_indexes
    from nhm_assets.resource_factories import mongo_of

    with mongo_of(settings).database() as database:
        return missing_indexes(database, settings)


def _misfit_of_first_week(settings: Settings) -> str | None:
    from nhm_assets.domain.first_week import misfit
    from nhm_assets.domain.partitions import first_week
    from nhm_assets.feedback.seen import oldest_feedback
    from nhm_assets.resource_factories import mongo_of

    with mongo_of(settings).database() as database:
        oldest = oldest_feedback(database, settings, all_specialists())
    first = first_week(settings.now(), settings.keep_weeks, settings.first_week)
    # Weeks before KEEP_WEEKS are no partitions, whatever FIRST_WEEK says.
    return misfit(first, oldest) if first == settings.first_week else None


def _production(settings: Settings, answering: set[str]) -> list[Facts]:
    from nhm_assets.instance.home import dagster_instance
    from nhm_assets.promotion.production import production_rows
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from nhm_assets.resource_factories import mlflow_of, mongo_of

    with ExitStack() as stack:
        client = stack.enter_context(mlflow_of(settings).client())
        log = stack.enter_context(mongo_of(settings).database())[AUDIT_LOG] if "MongoDB" in answering else None
        instance = stack.enter_context(dagster_instance(settings)) if "Dagster" in answering else None
        return [_facts_of(row) for row in production_rows(client, log, instance, now=settings.now())]


def _facts_of(row: "ProductionRow") -> Facts:
    """A row as JSON; what is not known of a specialist without a version is left out."""
    facts = {name: value for name, value in asdict(row).items() if name not in ("last", "model", "served")}
    facts |= {"served": asdict(row.served)} if row.served else {}
    known = facts if row.since else {"specialist": row.specialist, "version": row.version}
    last = {"last_outcome": asdict(row.last)} if row.last else {}
    return {**known, **last}


def _decisions(settings: Settings) -> list[Facts]:
    """The last decision about a candidate of each specialist that has one."""
    from nhm_assets.registry.audit_log import AUDIT_LOG, below_in_a_row, last_decision
    from nhm_assets.resource_factories import mongo_of

    found = []
    with mongo_of(settings).database() as database:
        for specialist in all_specialists():
            log = database[AUDIT_LOG]
            if entry := last_decision(log, specialist.registered_model):
                known = {name: entry.get(name) for name in ("week", "version", "reason", "held_as", "flip_rate")}
                found.append(
                    {
                        "specialist": str(specialist),
                        "outcome": entry["kind"],
                        **known,
                        "below_in_a_row": below_in_a_row(log, specialist.registered_model),
                        "settling": entry.get("settling"),
                    }
                )
    return found


def _foreign_moves(settings: Settings) -> list[Facts]:
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from nhm_assets.registry.foreign_moves import pointer_of, remedy
    from nhm_assets.resource_factories import mlflow_of, mongo_of

    moves = []
    with mongo_of(settings).database() as database, mlflow_of(settings).client() as client:
        for specialist in all_specialists():
            pointer = pointer_of(client, database[AUDIT_LOG], specialist.registered_model)
            if pointer.is_foreign:
                what = remedy(specialist, pointer.audited)
                moves.append({"specialist": str(specialist), "sentence": pointer.sentence, "remedy": what})
    return moves


def _print_services(services: "list[Service]") -> None:
    for service in services:
        click.echo(f"{service.name:8} {'FAULT' if service.fault else 'ok':6} {service.address}")
        if service.fault:
            click.echo(f"{'':15} {service.fault}")


def _print(facts: Facts, settings: Settings) -> None:
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
    if facts.get("decisions"):
        click.echo()
        rows = [_decision_cells(one) for one in facts["decisions"]]
        print_table("Last decisions", _DECISIONS, rows, numbers={"version", "below in a row", "flip rate"})
    if facts.get("runs"):
        click.echo()
        rows = [_run_cells(one) for one in facts["runs"]]
        print_table("Last runs", _RUNS, rows)
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


def _print_live(facts: Facts, settings: Settings) -> None:
    from nhm_assets.domain.links import runbook_link

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


def _run_cells(one: Facts) -> list[str]:
    subject = (one["partition"] or one["job"]).replace("|", " ")
    return [one["at"][:16].replace("T", " "), subject, one["ended"], textwrap.shorten(one["reason"] or "", 80)]


def _print_why(one: Facts) -> None:
    """The reason of the last outcome, and how far people agree with what serves."""
    last, served = one.get("last_outcome"), one.get("served")
    if last and last["reason"]:
        click.echo(f"{one['specialist']}: {last['outcome']}, {last['reason'][:300]}")
    if served:
        click.echo(
            f"{one['specialist']}: the opinions of version {one['version']} in week {served['week']} have F1"
            f" {served['f1']:.3f} against {served['reviewed']} reviews"
        )


def _iso(moment: datetime) -> str:
    return moment.isoformat()


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
    how = f" as {one['held_as']}" if one["held_as"] else ""
    return [
        one["specialist"],
        one["week"],
        str(one["version"]),
        f"{one['outcome']}{how}",
        str(one["below_in_a_row"] or ""),
        "" if one["flip_rate"] is None else f"{one['flip_rate']:.2f}",
        _settling_cell(one["settling"]),
    ]


def _settling_cell(settling: Facts | None) -> str:
    if settling is None:
        return ""
    if settling["plans"] is None:
        return "no number of plans: it is on the line"
    classes = f"{settling['approve']} approve, {settling['not_approve']} not"
    return f"{settling['plans']} more reviewed plans ({classes})"
