"""`nhm replay`: what the gate with other settings would have decided."""

import json
from pathlib import Path

import click

from nhm_assets.commands.output_file import OutputFile
from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings


@click.command()
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="A setting of the gate. Can be repeated.")
@click.option("--since", metavar="WEEK", help="The first week, by its first day, YYYY-MM-DD. Default: all weeks.")
@click.option("--specialist", metavar="NAME", help="Replay one specialist. Default: all.")
@click.option("--json", "file", type=OutputFile(), help="Write every decision as JSON.")
def replay(changes: tuple[str, ...], since: str | None, specialist: str | None, file: Path | None) -> None:
    """Show which decisions of the gate would be different with other settings.

    The gate judges every recorded evaluation report again. Nothing is evaluated, moved or recorded.

    Example: nhm replay --set PRECISION_THRESHOLD=0.8 --set F1_THRESHOLD=0.77
    """
    settings = Settings.load()
    with startup_without_gc():
        from nhm_assets.commands.tables import print_table
        from nhm_assets.evaluation import replay_request as requests
        from nhm_assets.evaluation.policy_replay import as_json
        from nhm_assets.instance.home import dagster_instance

    request = requests.ReplayRequest(_parsed(changes), since, specialist)
    # A wrong name is refused before the instance is opened.
    requests.with_changes(settings, request.changes)
    with dagster_instance(settings) as instance:
        result = requests.run_replay(instance, settings, request)
    if rows := requests.flip_rows(result):
        numbers = {"version", "prec.", "recall", "F1"}
        print_table("Decisions that would be different", requests.FLIP_COLUMNS, rows, numbers=numbers)
        click.echo()
    if rows := requests.production_rows(result):
        print_table("In Production now", requests.PRODUCTION_COLUMNS, rows)
        click.echo()
    click.echo(requests.summary(result))
    if file:
        file.write_text(json.dumps(as_json(result), indent=2) + "\n")


def _parsed(changes: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE as a dictionary."""
    for change in changes:
        if "=" not in change:
            raise UsageError(f"--set {change}: write NAME=VALUE, such as PRECISION_THRESHOLD=0.8")
    pairs = (change.partition("=") for change in changes)
    return {name.strip().upper(): value.strip() for name, _, value in pairs}
