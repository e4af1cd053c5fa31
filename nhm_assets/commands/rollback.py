"""`nhm rollback`: runs the job `rollback_promotion` for one specialist."""

import sys
from typing import TYPE_CHECKING, Any

import click

from nhm_assets.commands.person import reason_option
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult


@click.command()
@click.argument("specialist")
@click.option("--to", "version", metavar="VERSION", help="The version to go back to. Default: the previous one.")
@reason_option
def rollback(specialist: str, version: str | None, reason: str) -> None:
    """Put an earlier version of a SPECIALIST's model back into Production.

    The version that leaves is archived and marked, so the schedule and the sensor do not promote it again. To remove
    the mark, go back to that version with --to. If a cluster is configured, the specialist is restarted; otherwise it
    loads the version at its next restart.

    Exit code: 3 if the version is back in Production but the restart failed, or the restarted pods do not say that they
    serve it. The same command again then only restarts.
    """
    settings = Settings.load()
    done, warning, restart, fault = _run_job(settings, specialist, version, reason)
    if done is None:
        click.echo(f"nhm: {fault}", err=True)
        sys.exit(1)
    click.echo(f"{done['model']}: version {done['version']} is in Production{_moved(done)}")
    if warning:
        click.echo(f"nhm: warning: {warning}", err=True)
    if fault:
        click.echo(
            f"nhm: version {done['version']} of {done['model']} is back in Production, but"
            f" {_not_served(done['specialist'], fault.rstrip('.'))}. Run the same command again: it only restarts. To"
            " go back further, name a version with --to",
            err=True,
        )
        sys.exit(3)
    click.echo(f"Pods of {done['specialist']}: {restart}")


def _moved(done: dict[str, Any]) -> str:
    if done["from_version"]:
        return f"; version {done['from_version']} is archived and will not be promoted again"
    return "; stages and aliases that somebody else had moved are as they should be" if done["audit_id"] else " already"


def _not_served(specialist: str, fault: str) -> str:
    from nhm_assets.automation.rollback_job import NOT_SERVED

    if fault.startswith(NOT_SERVED):
        return f"{specialist} may not answer with it: {fault}"
    return f"{specialist} was not restarted, so its pods may still answer with another version: {fault}"


def _run_job(
    settings: Settings, specialist: str, version: str | None, reason: str
) -> tuple[dict[str, Any] | None, str | None, str | None, str | None]:
    """What was moved, a warning, what the restart says, and what failed; each is None if there is nothing to say."""
    with startup_without_gc():
        from nhm_assets.automation.rollback_job import RESTART_OP, ROLLBACK_OP, checked
        from nhm_assets.commands.person_job import run_job
        from nhm_assets.domain.dagster_names import ROLLBACK_JOB
        from nhm_assets.domain.partitions import parse_specialist

    config = {"specialist": str(parse_specialist(specialist)), "reason": reason, "to": version, "in_production": None}
    checked(config)
    result, fault = run_job(settings, "rollback", ROLLBACK_JOB, ROLLBACK_OP, config)
    warning = _warning(result)
    if fault is None:
        return result.output_for_node(ROLLBACK_OP), warning, result.output_for_node(RESTART_OP), None
    moved = any(event.is_step_success for event in result.events_for_node(ROLLBACK_OP))
    return result.output_for_node(ROLLBACK_OP) if moved else None, warning, None, fault


def _warning(result: "ExecuteInProcessResult") -> str | None:
    from nhm_assets.automation.rollback_job import ROLLBACK_OP, WARNING

    for event in result.events_for_node(ROLLBACK_OP):
        if event.is_successful_output and WARNING in event.step_output_data.metadata:
            return str(event.step_output_data.metadata[WARNING].value)
    return None
