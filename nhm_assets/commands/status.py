"""`nhm status`: whether the services answer, what is in production, and what was decided last about each specialist."""

import json
import sys
from datetime import datetime

import click

from nhm_assets.commands.dagster_facts import dagster_meanwhile
from nhm_assets.domain.garbage_collector import gc_paused

_NEEDS_A_PERSON = 3


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def status(*, as_json: bool) -> None:
    """Show the services, daemon and cluster, what is in production, the last decisions and the last runs.

    The services are MongoDB, MLflow, storage and Dagster's database. With --json, all metrics of `nhm exporter` are
    there too. Exit code: 0 if all services answer and nothing needs a person, 1 if one does not answer, 3 if something
    needs a person; each such thing is named, with its section of the runbook.
    """
    with dagster_meanwhile() as ask_dagster:
        with gc_paused():
            # Here and not above: Dagster is imported meanwhile.
            from nhm_assets.commands.status_facts import all_facts
            from nhm_assets.commands.status_text import print_facts
            from nhm_assets.settings import Settings

        settings = Settings.load()
        facts = all_facts(settings, ask_dagster(settings), tell=not as_json)
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=_iso))
    else:
        print_facts(facts, settings)
    if any(service["fault"] for service in facts["services"]):
        sys.exit(1)
    sys.exit(_NEEDS_A_PERSON if facts["needs"] or facts.get("foreign_moves") else 0)


def _iso(moment: datetime) -> str:
    return moment.isoformat()
