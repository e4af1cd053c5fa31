"""The process that works on a run: where it is, and whether it still lives."""

import os
import re
import socket
from typing import TYPE_CHECKING, Final

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.names import JOB
from nhm_assets.outcomes import BROKEN_BY_TAG, OUTCOME_TAG, REASON_TAG, BrokenBy, Outcome

if TYPE_CHECKING:
    from dagster import DagsterRun

PROCESS_TAG: Final = "nhm/process"
"""host:pid, on runs that the command line executes itself."""

_LAUNCHED_PID: Final = re.compile(r"\(pid: (\d+)\)")
_STARTED_BEFORE_IT_SAID_SO_S: Final = 1.0


def this_process() -> str:
    """The value of `PROCESS_TAG` here."""
    return f"{socket.gethostname()}:{os.getpid()}"


def process_of(instance: DagsterInstance, run: "DagsterRun") -> int | None:
    """Id of the process that executes the run, where that is one of this machine; else None."""
    if tag := run.tags.get(PROCESS_TAG):
        host, _, pid = tag.rpartition(":")
        return int(pid) if host == socket.gethostname() else None
    for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        if found := _LAUNCHED_PID.search(entry.dagster_event.message or "" if entry.dagster_event else ""):
            return int(found[1])
    return None


def is_alive(pid: int, *, since: float) -> bool:
    """Whether the process with this id lives and did so at that time (seconds since 1970).

    A process that began later is another one: ids are used again, after a restart of the machine above all.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= since + _STARTED_BEFORE_IT_SAID_SO_S
        )
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def end_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark runs of the command line as failed whose process on this machine is gone: killed, it could not do so."""
    dead = []
    for record in instance.get_run_records(RunsFilter(job_name=JOB, statuses=[DagsterRunStatus.STARTED])):
        run = record.dagster_run
        pid = process_of(instance, run) if PROCESS_TAG in run.tags else None
        if pid is not None and not is_alive(pid, since=record.start_time or record.create_timestamp.timestamp()):
            reason = "The process of this run is gone: it was killed. Run it again."
            instance.report_run_failed(run, reason)
            tags = {OUTCOME_TAG: str(Outcome.BROKEN), BROKEN_BY_TAG: str(BrokenBy.KILLED), REASON_TAG: reason}
            instance.add_run_tags(run.run_id, tags)
            dead.append(run.run_id)
    return dead
