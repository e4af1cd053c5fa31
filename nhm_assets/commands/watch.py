"""`nhm watch`: what the served version of a specialist did this week, at a glance."""

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.served_records import ServedQuality
from nhm_assets.settings import Settings

_MARKS = {True: "ok", False: "LOOK"}
_UNKNOWN = "-"


@click.command()
@click.argument("specialist")
@click.option("--week", metavar="DATE", help="First day of the week, a Sunday, as YYYY-MM-DD. Default: the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole record, as JSON.")
def watch(specialist: str, week: str | None, *, as_json: bool) -> None:
    """Show what the served version of a SPECIALIST did in a week, as `served_quality` last measured it.

    Without --week, this is the running week, or the closed one if the running one is not measured yet. The lines marked
    LOOK are checks that warn, those marked - could not be measured yet; docs/serving-quality.md says what to do.
    """
    settings = Settings.load()
    quality = _stored(settings, specialist, week)
    if as_json:
        click.echo(quality.model_dump_json(indent=2))
        return
    _print(quality, settings)


def _stored(settings: Settings, specialist: str, week: str | None) -> ServedQuality:
    """The newest record.

    Raises:
        UsageError: there is no such specialist or week, or the week is not measured.
        StorageError: the record cannot be read.
    """
    with startup_without_gc():
        from nhm_assets.domain.asset_keys import SERVED_QUALITY
        from nhm_assets.domain.dagster_names import SERVED_QUALITY_JOB
        from nhm_assets.domain.partitions import (
            first_week,
            last_closed_week,
            parse_specialist,
            parse_week,
            running_week,
        )
        from nhm_assets.domain.specialists import configured_specialist
        from resources.storage import RecordIOManager
        from resources.storage_files import read_file

    records, asset, now = RecordIOManager(settings.storage), SERVED_QUALITY.to_user_string(), settings.now()
    newest = [running_week(now), last_closed_week(now)]
    if configured_specialist(specialist) is None:
        # One that was taken out is not measured any more.
        newest = [measured for name, measured in records.partitions_of(asset) if name == specialist][-1:]
        if not newest:
            parse_specialist(specialist)
    weeks = [parse_week(week)] if week else newest
    for one in weeks:
        if files := records.files_of(asset, specialist, one):
            return ServedQuality.model_validate_json(read_file(files[0], asset))
    first = first_week(now, settings.keep_weeks, settings.first_week)
    if week and week < first:
        raise UsageError(
            f"{specialist}: week {week} was not measured, and cannot be any more: FIRST_WEEK and KEEP_WEEKS leave"
            f" out the weeks before {first}"
        )
    raise UsageError(
        f"{specialist}: week {' and week '.join(weeks)} {'is' if week else 'are'} not measured yet. Weeks are measured"
        f" daily at 05:00 UTC and by a retraining; to measure now, start the job {SERVED_QUALITY_JOB} in Dagster's UI"
    )


def _print(quality: ServedQuality, settings: Settings) -> None:
    from nhm_assets.commands.tables import print_table
    from nhm_assets.served.checks import NOT_MEASURED, judge_week
    from nhm_assets.served.measure import AB_TEST

    serves = f"version {quality.version} serves" if quality.version else "no record says which version served"
    title = f"{quality.specialist}, week {quality.week} until {quality.end:%Y-%m-%d %H:%M} UTC: {serves}"
    verdicts = judge_week(quality, settings)
    marks = [_UNKNOWN if one.passed and one.reason.startswith(NOT_MEASURED) else _MARKS[one.passed] for one in verdicts]
    rows = [[one.check, mark, one.reason] for one, mark in zip(verdicts, marks, strict=True)]
    print_table(title, ("check", "", "says"), rows)
    if quality.agreements:
        columns = ("version", "reviewed", "approved", "F1", "AUC", "Brier")
        agreements = [
            [one.version, *map(_figure, (one.reviewed, one.approvals, one.calls.f1, one.auc, one.brier))]
            for one in quality.agreements
        ]
        click.echo()
        print_table("Agreement with people", columns, agreements, numbers=set(columns))
    if quality.ab_test:
        click.echo(f"\n{AB_TEST}: {quality.ab_test.verdict.sentence}")
    elif fault := quality.faults.get(AB_TEST):
        click.echo(f"\n{AB_TEST}: {NOT_MEASURED}: {fault}")


def _figure(value: float | None) -> str:
    return "none" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
