"""`nhm ab`: A/B tests. `start` and `stop` run the job `ab_test`; `status` measures."""

import sys
from typing import TYPE_CHECKING, Any

import click

from nhm_assets.domain.ab_records import DAYS, MIN_SAMPLES, MODES, REPLAY
from nhm_assets.domain.errors import RegistryError, UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from nhm_assets.domain.ab_records import AbResult


@click.group()
def ab() -> None:
    """Compare a candidate with the version in Production, on the plans that come in.

    While a test runs, the challenger is the one version in Staging, and nothing is promoted: other candidates wait. A
    test that is over promotes nothing: the winner has to pass the gate.
    """


@ab.command()
@click.argument("specialist")
@click.option("--challenger", metavar="VERSION", required=True, help="The version to compare with Production.")
@click.option("--mode", type=click.Choice(MODES), default=REPLAY, show_default=True, help="See above.")
@click.option("--split", type=float, help="Share of the plans for the champion. Default: AB_TEST_TRAFFIC_SPLIT.")
@click.option("--days", type=float, default=DAYS, show_default=True, help="After so many days it is over by itself.")
@click.option(
    "--min-samples",
    type=int,
    default=MIN_SAMPLES,
    show_default=True,
    help="Reviewed plans without which there is no verdict.",
)
def start(specialist: str, challenger: str, mode: str, split: float | None, days: float, min_samples: int) -> None:
    """Start an A/B test of a SPECIALIST's model.

    In mode replay, the challenger is asked about every plan that the champion answered, so both are compared on the
    same plans, and no specialist has to do anything. In mode live, the marks of the specialists' ABTestingSpecialist
    tell who answered which plan.
    """
    settings = Settings.load()
    config = {
        "action": "start",
        "challenger": challenger,
        "mode": mode,
        "split": settings.ab_test_traffic_split if split is None else split,
        "days": days,
        "min_samples": min_samples,
    }
    _run_job(settings, specialist, config)


@ab.command()
@click.argument("specialist")
def stop(specialist: str) -> None:
    """End the A/B test of a SPECIALIST's model. Nothing is promoted."""
    _run_job(Settings.load(), specialist, {"action": "stop"})


@ab.command()
@click.argument("specialist")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was measured, as JSON.")
def status(specialist: str, *, as_json: bool) -> None:
    """Show what the newest A/B test of a SPECIALIST's model says, measured now.

    The intervals hold however often you look.
    """
    settings = Settings.load()
    result, over, idle = _measured(settings, specialist)
    if as_json:
        click.echo(result.model_dump_json(indent=2))
        return
    from nhm_assets.commands.tables import print_table
    from nhm_assets.served.tables import ab_rows

    print_table("Over" if over else "Running", ("", ""), [list(row) for row in ab_rows(result)])
    click.echo(f"\n{result.verdict.sentence}")
    if idle:
        click.echo(f"{idle}: `nhm ab stop {specialist}` ends the test")


def _measured(settings: Settings, specialist: str) -> "tuple[AbResult, bool, str | None]":
    """The newest test up to now, whether it is over, and why it compares no further plans; None if it does.

    Raises:
        UsageError: there is no test.
        RegistryError: the challenger cannot be asked.
    """
    with startup_without_gc():
        from nhm_assets.domain.partitions import parse_specialist
        from nhm_assets.registry.ab_tests import newest_test, why_idle
        from nhm_assets.registry.audit_log import AUDIT_LOG
        from nhm_assets.resource_factories import mlflow_of, mongo_of

    model, now = parse_specialist(specialist).registered_model, settings.now()
    with mongo_of(settings).database() as database:
        test = newest_test(database[AUDIT_LOG], model)
        if test is None:
            raise UsageError(f"{specialist} has no A/B test: `nhm ab start` starts one")
        with startup_without_gc():
            from nhm_assets.served.ab_measure import measure_test

        over = not test.runs_at(now)
        with mlflow_of(settings).client() as client:
            try:
                result = measure_test(client, database, settings, test, now)
            except RegistryError as error:
                end = "" if over else f". `nhm ab stop {specialist}` ends the test"
                raise RegistryError(f"the {test.sentence} cannot be measured: {error}{end}") from error
            return result, over, None if over else why_idle(client, test)


def _run_job(settings: Settings, specialist: str, config: dict[str, Any]) -> None:
    """Run the job `ab_test`, and say what it did."""
    with startup_without_gc():
        from nhm_assets.automation.ab_job import AB_OP, START, checked
        from nhm_assets.commands.person_job import run_job
        from nhm_assets.domain.dagster_names import AB_TEST_JOB
        from nhm_assets.domain.partitions import parse_specialist

    asked = {"specialist": str(parse_specialist(specialist)), **config}
    if config["action"] == START:
        checked(asked)
    result, fault = run_job(settings, f"ab {config['action']}", AB_TEST_JOB, AB_OP, asked)
    if fault:
        click.echo(f"nhm: {fault}", err=True)
        sys.exit(1)
    click.echo(f"{specialist}: {result.output_for_node(AB_OP)['summary']}")
