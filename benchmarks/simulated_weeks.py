"""Weeks of hundreds of specialists through the real daemon and PostgreSQL; only the training does nothing.

`python -m benchmarks.simulated_weeks --specialists 500 --weeks 2 --earlier 50` starts PostgreSQL, MongoDB, Dagster's
daemon and the processes that stand in for pods. Schedule, sensors, queue and run monitoring are those of
`deploy/postgres`. In the first week, a second daemon starts while the first one still submits the runs of the week, as
in an upgrade, and both work until its end. In the week in the middle, daemon and code server are killed with SIGKILL,
at such a moment too, together with three pods. Each week is Sunday 02:00 by the simulated clock, until all of its runs
have ended. With `--earlier`, Dagster's database has that many more weeks from the second one on: copies of the first
one's records.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.results import SIMULATED, Measured, report
from benchmarks.simulated_figures import figures_of, outcomes
from benchmarks.simulated_history import copy_week
from benchmarks.simulated_platform import empty_platform, postgres_address, simulated_pods, start_code_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import RunRecord

    from tests.support.daemon import DaemonPlatform

KILLED_PODS = 3
_LONGEST_WEEK_S = 3600
_START = timedelta(minutes=4)
"""Until the first week, while everything starts."""


@dataclass(frozen=True)
class Week:
    """What was seen of one week.

    Attributes:
        name: of the week.
        began: when its Sunday came, in seconds since 1970.
        seconds: from then until its last run had ended.
        records: its runs.
        launched: ids of its runs, in the order in which their processes were started.
        killed: runs whose processes were killed.
        rows: of Dagster's event log in PostgreSQL, when the week had ended.
        size: of the database in bytes.
    """

    name: str
    began: float
    seconds: float
    records: "list[RunRecord]"
    launched: list[str]
    killed: frozenset[str]
    rows: int
    size: int


@dataclass
class Simulation:
    """The processes, and what the weeks so far were like.

    Attributes:
        daemons: that work now, the newest last.
        code_server: that works for all of them.
        stopped_s: from the kill of the daemons until another worked.
        daemon_cpu_s: CPU time of all daemons and code servers that are not counted any more.
        copied_weeks: that have copied records.
        copied_rows: of the event log, in those weeks.
        copied_size: of the database, in bytes.
    """

    platform: "DaemonPlatform"
    specialists: int
    weeks: list[Week] = field(default_factory=list)
    daemons: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    code_server: "subprocess.Popen[bytes] | None" = None
    stopped_s: float = 0.0
    daemon_cpu_s: float = 0.0
    copied_weeks: int = 0
    copied_rows: int = 0
    copied_size: int = 0

    def start_daemon(self) -> None:
        """Start a daemon, and a code server if there is none, and wait until they work."""
        if self.code_server is None:
            self.code_server = start_code_server(self.platform)
        self.daemons.append(self.platform.start_daemon())

    def processes(self) -> list[psutil.Process]:
        """The daemons and their code server."""
        return [psutil.Process(one.pid) for one in (*self.daemons, self.code_server) if one]

    def set_clock(self, week: str) -> None:
        """Let it be Sunday 02:00 after this week."""
        from nhm_assets.domain.partitions import end_of_week

        now = end_of_week(week) + timedelta(hours=2)
        (self.platform.settings.nhm_home / "now").write_text(now.isoformat())

    def run(self, week: str, sunday: datetime, *, upgrade: bool = False, kill: bool = False) -> None:
        """Let the Sunday after this week begin at that time, and wait until all of its runs have ended."""
        launched_before, began, killed = len(self._launched()), sunday.timestamp(), frozenset[str]()
        self.set_clock(week)
        assert time.time() < began, "the week before took too long: choose a larger --minutes"
        time.sleep(began - time.time())
        while not self._has_ended(week, killed):
            assert time.time() - began < _LONGEST_WEEK_S, self.platform.log
            assert all(daemon.poll() is None for daemon in self.daemons), self.platform.log
            requested = self._count(week)
            if upgrade and len(self.daemons) == 1 and requested > self.specialists // 4:
                self.start_daemon()
            if kill and not killed and requested > self.specialists // 2:
                killed = self._kill()
            time.sleep(5)
        seconds, launched, records = time.time() - began, self._launched()[launched_before:], self._records(week)
        # A process may be killed when its run is at its end already.
        killed &= self._broken(week)
        self.weeks.append(Week(week, began, seconds, records, launched, killed, *self._size()))
        if upgrade:
            self._retire(self.daemons[:-1])

    def _has_ended(self, week: str, killed: frozenset[str]) -> bool:
        """Whether all runs of the week have ended, those that retry a broken one among them."""
        requested, ended = self._count(week), self._count(week, ended=True)
        print(f"simulated_weeks: {week}: {ended} of {requested} runs have ended", file=sys.stderr)
        if ended < requested or requested < self.specialists:
            return False
        return not killed or requested >= self.specialists + len(self._broken(week))

    def _broken(self, week: str) -> frozenset[str]:
        from dagster import DagsterRunStatus

        runs = (record.dagster_run for record in self._records(week))
        return frozenset(run.run_id for run in runs if run.status is DagsterRunStatus.FAILURE)

    def _kill(self) -> frozenset[str]:
        """SIGKILL for the daemon, its code server and some pods; then another daemon starts."""
        from benchmarks.simulated_pods import ask

        stopped = time.monotonic()
        self.retire_all()
        killed = frozenset(ask("kill", str(KILLED_PODS)).split())
        self.start_daemon()
        self.stopped_s = time.monotonic() - stopped
        return killed

    def retire_all(self) -> None:
        """SIGKILL for all daemons and the code server."""
        self._retire([*self.daemons, *filter(None, [self.code_server])])
        self.code_server = None

    def copy(self, week: str, earlier: "Sequence[str]") -> None:
        """Copy the records of the first week to earlier ones, while no daemon works."""
        assert outcomes(self.platform.database, [week], self.specialists) == self.specialists, self.platform.log
        self.retire_all()
        began = time.monotonic()
        copy_week(week, earlier, self.platform.database)
        rows, size = self._size()
        self.copied_weeks = len(earlier)
        self.copied_rows, self.copied_size = rows - self.weeks[0].rows, size - self.weeks[0].size
        seconds = time.monotonic() - began
        print(f"simulated_weeks: copied {self.copied_rows:,} events in {seconds:.0f} s", file=sys.stderr)
        self.start_daemon()

    def _retire(self, processes: "list[subprocess.Popen[bytes]]") -> None:
        self.count_cpu([psutil.Process(one.pid) for one in processes])
        self.platform.kill(*processes)
        self.daemons = [one for one in self.daemons if one not in processes]

    def count_cpu(self, processes: list[psutil.Process]) -> None:
        """Add the CPU time that these daemons and code servers have taken."""
        times = [process.cpu_times() for process in processes]
        self.daemon_cpu_s += sum(one.user + one.system for one in times)

    def _filter(self, week: str, *, ended: bool = False) -> Any:
        from dagster import RunsFilter

        from nhm_assets.runs.queries import ENDED
        from nhm_assets.runs.tags import WEEK_TAG

        return RunsFilter(tags={WEEK_TAG: week}, statuses=ENDED if ended else None)

    def _count(self, week: str, *, ended: bool = False) -> int:
        return self.platform.instance.get_runs_count(self._filter(week, ended=ended))

    def _records(self, week: str) -> "list[RunRecord]":
        return list(self.platform.instance.get_run_records(self._filter(week), ascending=True))

    def _launched(self) -> list[str]:
        from benchmarks.simulated_pods import LAUNCHED

        return (self.platform.folder / LAUNCHED).read_text().split()

    def _size(self) -> tuple[int, int]:
        import psycopg2

        with closing(psycopg2.connect(**postgres_address())) as connection, connection.cursor() as cursor:
            cursor.execute("select (select count(*) from event_logs), pg_database_size(current_database())")
            rows, size = cursor.fetchone() or (0, 0)
        return rows, size


def run(specialists: int, weeks: int, minutes: int, earlier: int) -> list[Measured]:
    """Simulate.

    Args:
        specialists: number of them.
        weeks: how many.
        minutes: from the begin of a week to that of the next one. All of its runs must have ended by then.
        earlier: number of weeks before, whose records are copied from the first one when that has ended.
    """
    folder = Path(tempfile.mkdtemp(prefix="nhm-bench-"))
    first = datetime.now(UTC).replace(second=0) + _START
    sundays = [first + timedelta(minutes=minutes) * number for number in range(weeks)]
    try:
        with empty_platform(folder, specialists, sundays, earlier) as platform:
            from nhm_assets.domain.partitions import last_closed_week, weeks_before

            closed = weeks_before(last_closed_week(datetime.now(UTC)), weeks + earlier)[::-1]
            before, closed = closed[:earlier], closed[earlier:]
            simulation = Simulation(platform, specialists)
            simulation.set_clock(closed[0])
            with simulated_pods(platform):
                simulation.start_daemon()
                for number, (week, sunday) in enumerate(zip(closed, sundays, strict=True)):
                    middle = number == weeks // 2
                    simulation.run(week, sunday, upgrade=not number and not middle, kill=middle)
                    if before and not number:
                        simulation.copy(week, before)
                simulation.count_cpu(simulation.processes())
                return figures_of(simulation)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specialists", type=int, default=500)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--minutes", type=int, default=30, help="from the begin of a week to that of the next one")
    parser.add_argument("--earlier", type=int, default=0, help="weeks before, with copies of the first one's records")
    asked = parser.parse_args()
    report(SIMULATED, run(asked.specialists, asked.weeks, asked.minutes, asked.earlier))
