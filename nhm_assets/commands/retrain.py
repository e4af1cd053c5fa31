"""`nhm retrain`: run the retraining job for one week and the chosen specialists, and print a table of the results."""

import json
import signal
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nhm_assets.commands.output_file import OutputFile
from nhm_assets.domain.errors import NhmError, UsageError
from nhm_assets.domain.garbage_collector import startup_without_gc
from nhm_assets.domain.meanwhile import entered_meanwhile
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.resource_factories import mongo_of
from nhm_assets.settings import Settings
from resources.errors import ServiceError

if TYPE_CHECKING:
    from nhm_assets.domain.partitions import Partition
    from nhm_assets.runs.in_process import Retraining

_COLUMNS = ("specialist", "rows", "source", "prec.", "recall", "F1", "outcome", "version", "stage", "sec.")
_NUMBERS = {"rows", "prec.", "recall", "F1", "version", "sec."}


@click.command()
@click.option(
    "--week",
    metavar="YYYY-MM-DD",
    help="First day (a Sunday) of the week. Default: the last closed week; with --increment, the running one.",
)
@click.option(
    "--specialist",
    "specialists",
    metavar="NAME",
    multiple=True,
    help="Specialist to retrain. Repeat it for several. Default: all.",
)
@click.option(
    "--increment", is_flag=True, help="Correct the served version by the feedback since, instead of training in full."
)
@click.option("--report", type=OutputFile(), help="Write the results to this file, as JSON.")
def retrain(week: str | None, specialists: tuple[str, ...], report: Path | None, *, increment: bool) -> None:
    """Retrain specialists on the feedback up to the end of a week, or make increments.

    Each specialist is one run of the Dagster job `specialist_retraining`, recorded in the configured instance.
    Exit code: 0 if no run broke (a held candidate is fine), 1 if a run broke, 2 if the command was used wrongly.
    """
    with startup_without_gc():
        from nhm_assets.domain.partitions import Partition, first_week

    settings = Settings.load()
    first = first_week(settings.now(), settings.keep_weeks, settings.first_week)
    chosen = week or _default_week(settings.now(), first, increment=increment)
    names = dict.fromkeys(specialists or all_specialists())
    partitions = [Partition.parse(chosen, specialist, first=first) for specialist in names]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = _retrain(settings, partitions, increment=increment)
    stages = _stages(settings, results)
    if report:
        _write_report(report, results, stages)
    _print_table(results, stages)
    _print_remarks(results)
    sys.exit(1 if any(result.error for result in results) else 0)


def _default_week(now: datetime, first: str, *, increment: bool) -> str:
    from nhm_assets.domain.partitions import last_closed_week, running_week

    week, running = (running_week if increment else last_closed_week)(now), running_week(now)
    if week >= first:
        return week
    which = "running" if increment else "last closed"
    early = f", or retrain the running week: `nhm retrain --week {running}`" if running >= first else ""
    raise UsageError(
        f"the {which} week, {week}, is no partition: FIRST_WEEK is {first}. Set FIRST_WEEK to the week of the oldest"
        f" feedback, which `nhm status` names{early}"
    )


def _retrain(settings: Settings, partitions: "list[Partition]", *, increment: bool = False) -> "list[Retraining]":
    # A local mongod starts while the libraries are imported.
    with entered_meanwhile(mongo_of(settings).held()) as mongo_runs:
        return _retrain_all(settings, partitions, mongo_runs, increment=increment)


def _retrain_all(
    settings: Settings, partitions: "list[Partition]", mongo_runs: Callable[[], None], *, increment: bool
) -> "list[Retraining]":
    with startup_without_gc():
        from nhm_assets.commands.health import require_services
        from nhm_assets.commands.retrain_runs import Runs, interrupted_run
        from nhm_assets.instance.home import dagster_instance
        from nhm_assets.promotion.production_models import show_production
        from nhm_assets.resource_factories import mlflow_of
        from nhm_assets.runs.in_process import NOT_RUN, Retraining
        from nhm_assets.runs.liveness import end_dead_runs

    windows = {
        partition: partition.window(days=settings.feedback_window_days, now=settings.now()) for partition in partitions
    }
    results: dict[Partition, Retraining] = {}
    begun: list[Partition] = []
    try:
        with startup_without_gc():
            runs = Runs(settings, windows, increment=increment)
            forked = runs.workers()
        mongo_runs()
        with (
            forked as workers,
            dagster_instance(settings) as instance,
            _Progress(shown=settings.log_format == "console") as progress,
        ):
            with startup_without_gc():
                require_services(settings)
                end_dead_runs(instance)

            def begin(partition: "Partition") -> None:
                begun.append(partition)
                progress.step(partition, "starting")

            for result in runs.results(instance, workers, started=begin, told=progress.step):
                results[result.partition] = result
                progress.end(result)
            # Without a daemon, nobody else does.
            show_production(instance, mongo_of(settings), mlflow_of(settings), settings, warn=progress.warn)
    except (ServiceError, NhmError) as error:
        not_run = {one: Retraining(one, window, NOT_RUN, error=str(error)) for one, window in windows.items()}
        results = not_run | results
    except KeyboardInterrupt:
        if not begun:
            raise
        interrupted = {one: interrupted_run(one, window, begun=one in begun) for one, window in windows.items()}
        results = interrupted | results
    return [results[partition] for partition in partitions]


class _Progress:
    """Shows the current step on a terminal, and one line per finished partition anywhere, unless log lines do."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def __enter__(self) -> "_Progress":
        from rich.console import Console

        self._console = Console(stderr=True)
        self._status = self._console.status("starting")
        self._running: dict[Partition, str] = {}
        if self._shown and self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def step(self, partition: "Partition", name: str) -> None:
        self._running[partition] = name
        self._update()

    def warn(self, text: str) -> None:
        self._console.print(f"warning: {text}", highlight=False)

    def end(self, result: "Retraining") -> None:
        del self._running[result.partition]
        self._update()
        if self._shown:
            name = _name(result.partition)
            self._console.print(f"{name}: {result.outcome} in {result.seconds:.1f} s", highlight=False)

    def _update(self) -> None:
        self._status.update(", ".join(f"{_name(partition)}: {step}" for partition, step in self._running.items()))


def _name(partition: "Partition") -> str:
    return f"{partition.specialist} {partition.week}"


def _stages(settings: Settings, results: "list[Retraining]") -> list[str | None]:
    """The current stage of each result's version in the registry."""
    from nhm_assets.resource_factories import mlflow_of

    stages: list[str | None] = [None] * len(results)
    trained = [(position, result.trained) for position, result in enumerate(results) if result.trained]
    if trained:
        try:
            with mlflow_of(settings).client() as client:
                for position, model in trained:
                    stages[position] = client.get_model_version(model.model, model.version).current_stage
        except ServiceError:
            # MLflow went away after the runs. Their results are worth more than this column.
            pass
    return stages


def _write_report(path: Path, results: "list[Retraining]", stages: list[str | None]) -> None:
    from nhm_assets.runs.in_process import as_json

    entries = [as_json(result, stage) for result, stage in zip(results, stages, strict=True)]
    path.write_text(json.dumps(entries, indent=2) + "\n")


def _print_table(results: "list[Retraining]", stages: list[str | None]) -> None:
    from nhm_assets.commands.tables import print_table

    if any(result.run_id for result in results):
        rows = [_cells(result, stage) for result, stage in zip(results, stages, strict=True)]
        print_table(f"Retraining for week {results[0].partition.week}", _COLUMNS, rows, numbers=_NUMBERS)


def _print_remarks(results: "list[Retraining]") -> None:
    """What the table has no room for: increments, why a candidate is held, synthetic rows, what broke a run."""
    from nhm_assets.domain.outcomes import Outcome, outcome_line

    explained = (Outcome.HELD, Outcome.SUPERSEDED, Outcome.INSUFFICIENT_DATA)
    for result in results:
        if result.increment:
            click.echo(f"{result.partition.specialist}: {result.increment}")
        unchanged = result.outcome == Outcome.UNCHANGED and not result.trained
        if result.held_by or unchanged or result.outcome in explained:
            click.echo(outcome_line(str(result.partition.specialist), str(result.outcome), result.reason))
    synthetic = [str(result.partition.specialist) for result in results if result.synthetic]
    if synthetic:
        click.echo(
            f"warning: {', '.join(synthetic)} learned from synthetic rows, because there is too little feedback."
            " To forbid this, set ALLOW_SYNTHETIC_FALLBACK=false or ENVIRONMENT=production.",
            err=True,
        )
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for result in results:
        if result.error:
            failed[str(result.outcome), result.error].append(str(result.partition.specialist))
    for (outcome, error), specialists in failed.items():
        click.echo(f"{outcome}: {', '.join(specialists)}: {error}", err=True)


def _cells(result: "Retraining", stage: str | None) -> list[str]:
    dataset, metrics = result.dataset, result.report.candidate if result.report else None
    return [
        str(result.partition.specialist),
        *(["", ""] if dataset is None else [str(dataset["rows"]), dataset["data_source"]]),
        *([f"{value:.3f}" for value in (metrics.precision, metrics.recall, metrics.f1)] if metrics else [""] * 3),
        str(result.outcome),
        result.trained.version if result.trained else "",
        stage or "",
        f"{result.seconds:.1f}",
    ]
