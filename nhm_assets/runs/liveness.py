"""The process that executes a run: where it is, and whether it is alive."""

import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.outcomes import broken_tags
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.failure_cause import failure_of
from nhm_assets.runs.tags import LAUNCHED_ON_TAG, PARTITION_TAG, PROCESS_TAG, SPECIALIST_TAG

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

_GRPC_TAG: Final = ".dagster/grpc_info"
_EXECUTING: Final = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
_LAUNCHED_PID: Final = re.compile(r"\(pid: (\d+)\)")
_START_TOLERANCE_S: Final = 1.0


def this_process() -> str:
    """The value of `PROCESS_TAG` here."""
    return _named(os.getpid())


def _named(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"


def process_of(instance: DagsterInstance, run: "DagsterRun") -> int | None:
    """Id of the process that executes the run, if it is on this machine; else None."""
    if tag := run.tags.get(PROCESS_TAG):
        host, _, pid = tag.rpartition(":")
        return int(pid) if host == socket.gethostname() else None
    if not _was_launched_here(run):
        return None
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        if found := _LAUNCHED_PID.search(entry.dagster_event.message or "" if entry.dagster_event else ""):
            return int(found[1])
    return None


def _was_launched_here(run: "DagsterRun") -> bool:
    """Whether this machine's daemon launched it through a code server of this machine, reached by a socket file."""
    server = json.loads(run.tags.get(_GRPC_TAG, "{}"))
    by_socket = "socket" in server and Path(server["socket"]).is_absolute()
    return by_socket and run.tags.get(LAUNCHED_ON_TAG) == socket.gethostname()


def run_of_process(instance: DagsterInstance, partition_key: str, pid: int) -> str | None:
    """The newest run of this partition that the process with this id, on this machine, has executed."""
    tags = {PARTITION_TAG: partition_key, PROCESS_TAG: _named(pid)}
    runs = instance.get_runs(RunsFilter(tags=tags), limit=1)
    return runs[0].run_id if runs else None


def executing_run(instance: DagsterInstance, specialist: Specialist) -> "DagsterRun | None":
    """A run of this specialist that a process executes, as far as visible from here; queued runs do not count."""
    executing = RunsFilter(tags={SPECIALIST_TAG: str(specialist)}, statuses=_EXECUTING)
    for record in instance.get_run_records(executing):
        if not is_dead(instance, record):
            return record.dagster_run
    return None


def is_alive(pid: int, *, since: float) -> bool:
    """Whether the process with this id is alive and was so at that time (seconds since 1970).

    A process that started later is another one: ids are reused, above all after a restart of the machine.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since + _START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def is_dead(instance: DagsterInstance, record: "RunRecord") -> bool:
    """Whether the process that executes the run was on this machine, and is gone."""
    pid = process_of(instance, record.dagster_run)
    return pid is not None and not is_alive(pid, since=record.start_time or record.create_timestamp.timestamp())


def end_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark the runs of commands whose process on this machine was killed as failed: they could not do it themselves."""
    dead = []
    for record in instance.get_run_records(RunsFilter(job_name=JOB, statuses=[DagsterRunStatus.STARTED])):
        run = record.dagster_run
        if PROCESS_TAG in run.tags and is_dead(instance, record):
            instance.report_run_failed(run, "its process was killed")
            failure = failure_of(instance, run)
            instance.add_run_tags(run.run_id, broken_tags(failure.by, failure.reason, transient=failure.transient))
            dead.append(run.run_id)
    return dead
