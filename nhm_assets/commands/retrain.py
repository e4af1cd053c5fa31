"""`nhm retrain`: the job for one week and the specialists asked for, and a table of what became of them."""

import gc
import getpass
import json
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nhm_assets.domain.errors import NhmError
from nhm_assets.domain.specialists import SPECIALISTS
from nhm_assets.settings import Settings
from resources.errors import ServiceError

if TYPE_CHECKING:
    from nhm_assets.domain.partitions import Partition
    from nhm_assets.runs.in_process import Retraining

_COLUMNS = ("specialist", "rows", "source", "prec.", "recall", "F1", "gate", "version", "stage", "sec.")
_NUMBERS = {"rows", "prec.", "recall", "F1", "version", "sec."}


@click.command()
@click.option("--week", metavar="YYYY-MM-DD", help="First day (a Sunday) of the week; default: the last closed one.")
@click.option(
    "--specialist",
    "specialists",
    metavar="NAME",
    multiple=True,
    help="One of the five, may be given several times; default: all.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write what became of each to this file, as JSON."
)
def retrain(week: str | None, specialists: tuple[str, ...], report: Path | None) -> None:
    """Retrain specialists on the feedback up to the end of a week.

    Each specialist is one run of the Dagster job `specialist_retraining`, recorded in the configured instance.
    Ends with 0 also where a candidate was held, with 1 where a run broke, with 2 on wrong use.
    """
    from nhm_assets.domain.partitions import Partition, last_closed_week

    settings = Settings.load()
    chosen = week or last_closed_week(settings.now())
    partitions = [Partition.parse(chosen, specialist) for specialist in dict.fromkeys(specialists or SPECIALISTS)]
    if report and not report.absolute().parent.is_dir():
        raise click.BadParameter(f"{report.absolute().parent} is no folder", param_hint="--report")
    signal.signal(signal.SIGTERM, _interrupt)
    results = _retrain(settings, partitions)
    stages = _stages(settings, results)
    if report:
        _write_report(report, results, stages)
    _print_table(results, stages)
    sys.exit(1 if any(one.error for one in results) else 0)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _retrain(settings: Settings, partitions: "list[Partition]") -> "list[Retraining]":
    from nhm_assets.commands.health import require_services
    from nhm_assets.definitions import build_definitions
    from nhm_assets.domain.dagster_names import JOB
    from nhm_assets.domain.outcomes import Outcome
    from nhm_assets.instance.home import dagster_instance
    from nhm_assets.registry.audit_log import ACTOR_TAG
    from nhm_assets.resource_factories import mongo_of
    from nhm_assets.runs.in_process import Retraining, in_process_tags, retrain_partition, wait_for_turn
    from nhm_assets.runs.liveness import end_dead_runs

    warnings.simplefilter("ignore")
    window = {one: one.window(days=settings.feedback_window_days, now=settings.now()) for one in partitions}
    actor = f"{getpass.getuser()}@{socket.gethostname()}, nhm retrain"
    results = []
    try:
        with mongo_of(settings).held(), dagster_instance(settings) as instance, _Progress() as progress:
            require_services(settings)
            end_dead_runs(instance)
            job = build_definitions(settings).resolve_job_def(JOB)
            gc.freeze()
            gc.enable()
            for partition in partitions:
                progress.start(partition)
                wait_for_turn(instance, partition.specialist, wait_s=settings.max_run_seconds, progress=progress.step)
                tags = in_process_tags(settings) | {ACTOR_TAG: actor}
                done = retrain_partition(job, instance, partition, window[partition], tags=tags, progress=progress.step)
                results.append(done)
                progress.end(done)
    except (ServiceError, NhmError) as error:
        # Nothing could start: every partition that was asked for is broken, by the same thing.
        waiting = partitions[len(results) :]
        results += [
            Retraining(one, window[one], Outcome.BROKEN, (), None, None, None, str(error), None, 0.0) for one in waiting
        ]
    return results


class _Progress:
    """What is being done now, on a terminal; one line a finished partition, anywhere."""

    def __enter__(self) -> "_Progress":
        from rich.console import Console

        self._console = Console(stderr=True)
        self._status = self._console.status("starting")
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def start(self, partition: "Partition") -> None:
        self._name = f"{partition.specialist} {partition.week}"
        self._status.update(self._name)

    def step(self, name: str) -> None:
        self._status.update(f"{self._name}: {name}")

    def end(self, done: "Retraining") -> None:
        self._console.print(f"{self._name}: {done.outcome} in {done.seconds:.1f} s", highlight=False)


def _stages(settings: Settings, results: "list[Retraining]") -> list[str | None]:
    """Stage of each result's version, as the registry shows it now."""
    from nhm_assets.resource_factories import mlflow_of

    if not any(one.trained for one in results):
        return [None] * len(results)
    stages: list[str | None] = []
    try:
        with mlflow_of(settings).client() as client:
            for one in results:
                trained = one.trained
                stages.append(
                    client.get_model_version(trained.model, trained.version).current_stage if trained else None
                )
    except ServiceError:
        stages += [None] * (len(results) - len(stages))
    return stages


def _write_report(path: Path, results: "list[Retraining]", stages: list[str | None]) -> None:
    from nhm_assets.runs.in_process import as_json

    entries = [as_json(one, stage) for one, stage in zip(results, stages, strict=True)]
    path.write_text(json.dumps(entries, indent=2) + "\n")


def _print_table(results: "list[Retraining]", stages: list[str | None]) -> None:
    from nhm_assets.commands.tables import print_table

    if any(one.run_id for one in results):
        rows = [_cells(one, stage) for one, stage in zip(results, stages, strict=True)]
        print_table(f"Retraining of the week {results[0].partition.week}", _COLUMNS, rows, numbers=_NUMBERS)
    _print_remarks(results)


def _print_remarks(results: "list[Retraining]") -> None:
    """What the table has no room for: why a candidate is held, rows that nobody reviewed, what broke."""
    from nhm_assets.domain.outcomes import Outcome

    for one in results:
        if one.held_by:
            click.echo(f"{one.partition.specialist} is held by {', '.join(one.held_by)}")
        elif one.outcome in (Outcome.HELD, Outcome.SUPERSEDED):
            click.echo(f"{one.partition.specialist} is {one.outcome}: {one.reason}")
    made_up = [str(one.partition.specialist) for one in results if _has_synthetic(one)]
    if made_up:
        click.echo(
            f"warning: {', '.join(made_up)} learned from synthetic rows, as there is too little feedback"
            " (ALLOW_SYNTHETIC_FALLBACK=false or ENVIRONMENT=production forbids that)",
            err=True,
        )
    broken: dict[str, list[str]] = {}
    for one in results:
        if one.error:
            broken.setdefault(one.error, []).append(str(one.partition.specialist))
    for error, names in broken.items():
        click.echo(f"broken: {', '.join(names)}: {error}", err=True)


def _has_synthetic(one: "Retraining") -> bool:
    return one.frame is not None and bool(one.frame.attrs["synthetic_rows"])


def _cells(one: "Retraining", stage: str | None) -> list[str]:
    metrics = one.report.candidate if one.report else None
    shown = [f"{value:.3f}" for value in (metrics.precision, metrics.recall, metrics.f1)] if metrics else ["", "", ""]
    return [
        str(one.partition.specialist),
        str(len(one.frame)) if one.frame is not None else "",
        one.frame.attrs["data_source"] if one.frame is not None else "",
        *shown,
        str(one.outcome),
        one.trained.version if one.trained else "",
        stage or "",
        f"{one.seconds:.1f}",
    ]
