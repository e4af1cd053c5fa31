"""What a simulation of weeks has shown: whether a run was lost or doubled, and how long each part took."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC
from itertools import accumulate, pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.results import Measured, at_most, measured
from benchmarks.simulated_platform import CONCURRENT

if TYPE_CHECKING:
    from dagster import RunRecord
    from pymongo.database import Database

    from benchmarks.simulated_weeks import Simulation, Week


def figures_of(simulation: "Simulation") -> list[Measured]:
    """What must hold, then how long each part took, week by week."""
    return [*_faults(simulation), *_times(simulation.weeks), *_ticks(simulation), *_costs(simulation)]


def _faults(simulation: "Simulation") -> list[Measured]:
    from dagster import DagsterRunStatus

    from nhm_assets.domain.outcomes import Outcome
    from nhm_assets.runs.queries import outcome_of
    from nhm_assets.runs.tags import PARTITION_TAG

    expected = simulation.specialists * len(simulation.weeks)
    records = [record for week in simulation.weeks for record in week.records]
    killed = {run_id for week in simulation.weeks for run_id in week.killed}
    good = Counter(
        record.dagster_run.tags[PARTITION_TAG]
        for record in records
        if outcome_of(record.dagster_run) is Outcome.PROMOTED
    )
    launched = Counter(run_id for week in simulation.weeks for run_id in week.launched)
    broken = {one.dagster_run.run_id for one in records if one.dagster_run.status is not DagsterRunStatus.SUCCESS}
    unlaunched = {one.dagster_run.run_id for one in records if not launched[one.dagster_run.run_id]}
    counts = {
        "partitions without a promotion": expected - sum(count > 0 for count in good.values()),
        "partitions with more than one": sum(count > 1 for count in good.values()),
        "runs with more than one process": sum(launched[one.dagster_run.run_id] > 1 for one in records),
        "broken runs that were neither killed nor interrupted": len(broken - killed - unlaunched),
        "runs too many, or too few": abs(len(records) - expected - len(killed | unlaunched)),
        "outcomes that are not in retraining_triggers": expected
        - outcomes(simulation.platform.database, [week.name for week in simulation.weeks], expected),
    }
    # Two daemons that launch at the same time may change places.
    overtaken = sum(map(_overtaken, simulation.weeks))
    if any(counts.values()):
        _explain(simulation, records, killed)
    at_a_time = max(_most_at_a_time(week.records) for week in simulation.weeks)
    return [
        measured("specialists", simulation.specialists, "", 0),
        measured("weeks", len(simulation.weeks), "", 0),
        measured("weeks before the last ones, with copied records", simulation.copied_weeks, "", 0),
        measured("runs", len(records), "", 0),
        measured("runs whose process was killed", len(killed), "", 0),
        measured("runs whose launch was interrupted by the kill of the daemon", len(unlaunched), "", 0),
        *(at_most(name, count, 0, "", 0) for name, count in counts.items()),
        measured("launches just before one that was requested earlier", overtaken, "", 0),
        at_most("runs at a time", at_a_time, CONCURRENT, "", 0),
    ]


def _explain(simulation: "Simulation", records: "list[RunRecord]", killed: set[str]) -> None:
    """Print the events of the runs of every partition that has more than one."""
    from nhm_assets.runs.tags import PARTITION_TAG

    of_partition: dict[str, list[RunRecord]] = {}
    for record in records:
        of_partition.setdefault(record.dagster_run.tags[PARTITION_TAG], []).append(record)
    for runs in of_partition.values():
        for record in runs if len(runs) > 1 else ():
            run = record.dagster_run
            was_killed = "killed" if run.run_id in killed else ""
            print(run.run_id, run.status.value, record.create_timestamp, was_killed, run.tags, file=sys.stderr)
            for entry in simulation.platform.instance.all_logs(run.run_id):
                if entry.step_key is None:
                    print("   ", entry.timestamp, entry.message, file=sys.stderr)


def _overtaken(week: "Week") -> int:
    """How many launches of the week came directly before one that was requested earlier."""
    rank = {record.dagster_run.run_id: number for number, record in enumerate(week.records)}
    order = [rank[run_id] for run_id in week.launched]
    return sum(one > following for one, following in pairwise(order))


def _most_at_a_time(records: "list[RunRecord]") -> int:
    moments = [(record.start_time, 1) for record in records if record.start_time]
    moments += [(record.end_time or 0, -1) for record in records if record.start_time]
    return max(accumulate(change for _, change in sorted(moments)))


def outcomes(database: "Database[dict[str, Any]]", weeks: list[str], expected: int) -> int:
    """How many outcomes of these weeks are in `retraining_triggers`, once the sensor has had time to put them there."""
    deadline = time.monotonic() + 600
    query = {"outcome": "promoted", "week": {"$in": weeks}}
    while (found := database["retraining_triggers"].count_documents(query)) < expected and time.monotonic() < deadline:
        time.sleep(5)
    return found


def _times(weeks: "list[Week]") -> list[Measured]:
    def of_each(seconds: "Callable[[RunRecord], float]", choose: "Callable[[list[float]], float]") -> list[float]:
        return [choose([seconds(one) for one in week.records if one.start_time and one.end_time]) for week in weeks]

    def requested(one: "RunRecord") -> float:
        return one.create_timestamp.replace(tzinfo=UTC).timestamp()

    parts = {
        "a week, from Sunday to the end of its last run": [week.seconds for week in weeks],
        "of that, until all of its runs are requested": [
            max(map(requested, week.records[: len(week.records) - len(week.killed)])) - week.began for week in weeks
        ],
        "a run in the queue until it starts, median": of_each(lambda one: one.start_time - requested(one), median),
        "the same, longest": of_each(lambda one: one.start_time - requested(one), max),
        "a run from start to end, median": of_each(lambda one: one.end_time - one.start_time, median),
    }
    return [
        *(measured(name, values) for name, values in parts.items()),
        measured("runs per minute", [len(week.records) / week.seconds * 60 for week in weeks], "", 0),
    ]


def _ticks(simulation: "Simulation") -> list[Measured]:
    from nhm_assets.domain.dagster_names import SCHEDULE, VOLUME_SENSOR

    ticks = {name: simulation.platform.ticks(name) for name in (SCHEDULE, VOLUME_SENSOR)}

    def seconds(name: str, *, requesting: bool) -> list[float]:
        found = [tick for tick in ticks[name] if bool(tick.run_ids) is requesting]
        return [tick.end_timestamp - tick.timestamp for tick in found if tick.end_timestamp] or [0.0]

    return [
        measured("a tick of the weekly schedule that requests runs", seconds(SCHEDULE, requesting=True)),
        measured("one that finds all of them requested", seconds(SCHEDULE, requesting=False)),
        measured("a tick of feedback_volume_sensor", seconds(VOLUME_SENSOR, requesting=False)),
        measured("from the kill of the daemon until another works", simulation.stopped_s),
    ]


def _costs(simulation: "Simulation") -> list[Measured]:
    weeks, runs = simulation.weeks, sum(len(week.records) for week in simulation.weeks)
    memory = sum(process.memory_info().rss for process in simulation.processes()) / 1e6
    return [
        measured("CPU time of daemon and code server per run", simulation.daemon_cpu_s / runs, digits=2),
        measured("memory of daemon and code server at the end", memory, "MB", 0),
        measured("rows of Dagster's event log per run", (weeks[-1].rows - simulation.copied_rows) / runs, "rows", 0),
        measured("PostgreSQL per run", (weeks[-1].size - simulation.copied_size) / runs / 1000, "KB", 0),
    ]
