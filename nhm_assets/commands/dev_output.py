"""What `nhm dev` prints: one line per run that starts or ends. Everything else goes to one log file per program."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nhm_assets.domain.outcomes import outcome_line
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.failure_cause import reason_of
from nhm_assets.runs.queries import end_of, ended_as, is_unexplained
from nhm_assets.runs.tags import PARTITION_TAG
from resources.folders import require_folder

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun
    from honcho.printer import Message

_POLL_S: Final = 2.0
_STOPPED: Final = re.compile(r"(?P<program>\S+) stopped \(rc=(?P<code>-?\d+)\)")
_PATIENCE: Final = timedelta(seconds=60)
"""A run that failed is told about once a sensor has said how: as broken, or as refused."""

_OVERLAP: Final = 1.5 * _PATIENCE
"""How far each look reaches back: clocks may differ a little, and a run that failed is looked at again.

A run that is read twice is shown once.
"""


class LogFiles:
    """Writes what each program prints to a file of its own, and says when a program ended by itself.

    It stands in for honcho's printer.

    Args:
        folder: of the files, one per program: `daemon.log` and so on. Those of an earlier start are replaced.
    """

    width = 0
    """Of the column of names; honcho sets it."""

    def __init__(self, folder: Path) -> None:
        require_folder(folder)
        for old in folder.glob("*.log"):
            old.unlink()
        self._folder = folder
        self._stopping = False

    def write(self, message: "Message") -> None:
        """Take one line of a program, or a remark of the manager (its name is `system`)."""
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        if message.name != "system":
            with self.file_of(message.name).open("a") as log:
                log.write(text)
        elif ended := _STOPPED.match(text):
            if not self._stopping:
                program, code = ended["program"], ended["code"]
                click.echo(f"{program} ended by itself (exit code {code}), so everything stops: {self._end(program)}")
            self._stopping = True
        elif "received" in text:
            self._stopping = True
            click.echo("Stopping ...")

    def file_of(self, program: str) -> Path:
        """The file with what this program printed."""
        return self._folder / f"{program}.log"

    def _end(self, program: str) -> str:
        """The last line of a program, and where the others are."""
        file = self.file_of(program)
        lines = file.read_text().split("\n") if file.exists() else []
        last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
        return f"{last.strip()} (all of it: {file})"


@contextmanager
def reported_runs(instance: "DagsterInstance", url: str, show: Callable[[str], None] = click.echo) -> Iterator[None]:
    """Within this context, a line is shown for each run that starts or ends.

    Args:
        instance: has the runs.
        url: of Dagster's web UI, for the links.
        show: is called with each line.
    """
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(instance, url, show, ended, datetime.now(UTC)), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(timeout=_POLL_S)


def _watch(
    instance: "DagsterInstance", url: str, show: Callable[[str], None], ended: threading.Event, begun: datetime
) -> None:
    from dagster import RunsFilter
    from sqlalchemy.exc import SQLAlchemyError

    since = begun
    shown: dict[str, str] = {}
    while not ended.wait(_POLL_S):
        now = datetime.now(UTC)
        try:
            records = instance.get_run_records(RunsFilter(updated_after=since - _OVERLAP), order_by="update_timestamp")
        except SQLAlchemyError:
            # The database is busy. The next look finds the same runs.
            continue
        for record in reversed(records):
            run = record.dagster_run
            if is_unexplained(run) and now < end_of(record) + _PATIENCE:
                continue
            # Sensors tag runs that ended before, which changes them too.
            line = None if run.is_finished and end_of(record) < begun else line_about(instance, run, url)
            if line and shown.get(run.run_id) != line:
                shown[run.run_id] = line
                show(f"{datetime.now().astimezone():%H:%M:%S} {line}")
        since = now


def line_about(instance: "DagsterInstance", run: "DagsterRun", url: str) -> str | None:
    """One line about a run that has started or ended; None while it waits."""
    subject = run.tags.get(PARTITION_TAG, run.job_name).replace("|", " ")
    if run.is_finished:
        return f"{outcome_line(subject, ended_as(run), reason_of(instance, run))} {url}/runs/{run.run_id}"
    if run.status.value == "STARTED":
        return f"{subject}: started by {run.tags.get(ACTOR_TAG, 'a person')}"
    return None
