"""What `nhm status` says, as one document."""

from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nhm_assets.commands.clients import Clients
from nhm_assets.commands.live import cluster_facts
from nhm_assets.commands.status_text import Facts, print_services
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.outcomes import HELD_BY, how_held
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from nhm_assets.commands.dagster_facts import Answer, DagsterFacts
    from nhm_assets.promotion.production import ProductionRow


def all_facts(settings: Settings, dagster: "Answer", *, tell: bool) -> Facts:
    """What `nhm status --json` prints.

    Args:
        settings: say where the services are.
        dagster: waits for what Dagster's records say.
        tell: print each service as soon as it is known whether it answers.
    """
    with Clients(settings) as clients:
        clients.open_mongo()
        return _all_facts(clients, dagster, tell=tell)


def _all_facts(clients: Clients, dagster: "Answer", *, tell: bool) -> Facts:
    with startup_without_gc():
        from nhm_assets.commands.health import check_services, service_of_dagster

        services = check_services(clients)
    if tell:
        print_services(services)
    answering = {service.name for service in services if not service.fault}

    def in_dagster() -> "DagsterFacts":
        found = dagster()
        services.append(service_of_dagster(clients.settings, found.fault))
        if tell:
            print_services(services[-1:])
        return found

    try:
        # What needs nothing from Dagster comes first: its answer takes the longest.
        facts = _facts(clients, answering)
    except Exception:
        in_dagster()
        raise
    found = in_dagster()
    production = {"production": _production(clients, answering, found)} if "MLflow" in answering else {}
    return {
        "services": [{"name": one.name, "address": one.address, "fault": one.fault} for one in services],
        **facts,
        **production,
        **found.live,
        **_seen_by_the_exporter(clients, answering, found),
        "settings": [remark.sentence for remark in clients.settings.remarks],
    }


def _facts(clients: Clients, answering: set[str]) -> Facts:
    """What can be said with those services that answer, without Dagster."""
    facts: Facts = {"cluster": cluster_facts(clients.settings)}
    if "MongoDB" in answering:
        facts["missing_indexes"] = _missing_indexes(clients)
        facts["first_week"] = _misfit_of_first_week(clients)
        facts["decisions"] = _decisions(clients)
        facts["ab_tests"] = _ab_tests(clients)
    if {"MongoDB", "MLflow"} <= answering:
        facts["foreign_moves"] = _foreign_moves(clients)
    return facts


def _seen_by_the_exporter(clients: Clients, answering: set[str], dagster: "DagsterFacts") -> Facts:
    """The metrics of `nhm exporter` from the services that answer, and what they say of things that need a person."""
    from nhm_assets.monitoring.exporter import Exporter
    from nhm_assets.monitoring.metric import Source
    from nhm_assets.monitoring.needs import needs
    from nhm_assets.monitoring.refresh import RefreshedSource

    settings = clients.settings
    known = RefreshedSource.as_read_elsewhere(Source.DAGSTER, dagster.metrics, every_s=settings.exporter_refresh_s)
    exporter = Exporter.beside(known, settings, clients.mlflow, clients)
    exporter.refresh(only={name.lower() for name in answering})
    readings = exporter.readings()
    found = needs(readings, now=datetime.now(UTC), runbook=settings.runbook_url)
    return {"needs": [asdict(need) for need in found], "metrics": readings.as_json()}


def _missing_indexes(clients: Clients) -> list[str]:
    from nhm_assets.feedback.seen import missing_indexes

    with clients.database() as database:
        return missing_indexes(database, clients.settings)


def _misfit_of_first_week(clients: Clients) -> str | None:
    from nhm_assets.domain.first_week import misfit
    from nhm_assets.domain.partitions import first_week
    from nhm_assets.feedback.seen import oldest_feedback

    settings = clients.settings
    with clients.database() as database:
        oldest = oldest_feedback(database, settings, all_specialists())
    first = first_week(settings.now(), settings.keep_weeks, settings.first_week)
    # Weeks before KEEP_WEEKS are no partitions, whatever FIRST_WEEK says.
    return misfit(first, oldest) if first == settings.first_week else None


def _production(clients: Clients, answering: set[str], dagster: "DagsterFacts") -> list[Facts]:
    from nhm_assets.promotion.production import production_rows
    from nhm_assets.registry.audit_log import AUDIT_LOG

    with ExitStack() as stack:
        client = stack.enter_context(clients.mlflow.reading())
        log = stack.enter_context(clients.database())[AUDIT_LOG] if "MongoDB" in answering else None
        return [_facts_of(row) for row in production_rows(client, log, dagster.recorded)]


def _facts_of(row: "ProductionRow") -> Facts:
    """A row as JSON; what is not known of a specialist without a version is left out."""
    facts = {name: value for name, value in asdict(row).items() if name not in ("last", "model", "served")}
    facts |= {"served": asdict(row.served)} if row.served else {}
    known = facts if row.since else {"specialist": row.specialist, "version": row.version}
    last = {"last_outcome": asdict(row.last)} if row.last else {}
    return {**known, **last}


def _decisions(clients: Clients) -> list[Facts]:
    """The last decision about a candidate of each specialist that has one."""
    from nhm_assets.registry.audit_log import AUDIT_LOG, below_in_a_row, last_decision

    found = []
    with clients.database() as database:
        for specialist in all_specialists():
            log = database[AUDIT_LOG]
            if entry := last_decision(log, specialist.registered_model):
                known = {name: entry.get(name) for name in ("week", "version", "reason", "held_as", "flip_rate")}
                by_gate = str(entry.get("reason")).startswith(HELD_BY)
                found.append(
                    {
                        "specialist": str(specialist),
                        "outcome": entry["kind"],
                        **known,
                        "how_held": how_held(entry.get("held_as"), by_gate=by_gate),
                        "below_in_a_row": below_in_a_row(log, specialist.registered_model),
                        "settling": entry.get("settling"),
                    }
                )
    return found


def _ab_tests(clients: Clients) -> list[Facts]:
    """The A/B tests that run now."""
    from nhm_assets.registry.ab_tests import running_test
    from nhm_assets.registry.audit_log import AUDIT_LOG

    now = clients.settings.now()
    with clients.database() as database:
        models = [specialist.registered_model for specialist in all_specialists()]
        tests = [test for model in models if (test := running_test(database[AUDIT_LOG], model, now))]
    shown = {"specialist", "champion", "challenger", "mode", "started_at", "until"}
    return [{**test.model_dump(include=shown), "sentence": test.sentence} for test in tests]


def _foreign_moves(clients: Clients) -> list[Facts]:
    from nhm_assets.registry.audit_log import AUDIT_LOG
    from nhm_assets.registry.foreign_moves import pointers_of, remedy

    with clients.database() as database, clients.mlflow.reading() as client:
        models = [specialist.registered_model for specialist in all_specialists()]
        pointers = pointers_of(client, database[AUDIT_LOG], models)
        return [
            {"specialist": str(who), "sentence": pointer.sentence, "remedy": remedy(client, str(who), pointer)}
            for who, pointer in zip(all_specialists(), pointers, strict=True)
            if pointer.is_foreign
        ]
