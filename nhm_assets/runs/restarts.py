"""Runs that broke because a service was down: whether and when each one is started over."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.outcomes import TRANSIENT_TAG, Outcome
from nhm_assets.domain.partitions import Partition, first_week
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.queries import end_of, is_whole, outcome_of
from nhm_assets.runs.tags import PARTITION_TAG, SPECIALIST_TAG
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord

RESTARTS_TAG: Final = ".dagster/nhm_restarts"
"""How often the work of a run was started over before."""

_LOOK_BACK: Final = timedelta(days=1)
"""Older runs are not looked at, unless a pause is longer than half of that."""


def restart_delay(settings: Settings, restarts: int) -> timedelta | None:
    """The pause before a run is started over that was so this often before; None: it is given up.

    The pauses are those of RESTART_AFTER_MINUTES; the last one repeats until RESTART_FOR_HOURS are used up.
    """
    pauses = settings.restart_after_minutes
    so_far = [pauses[min(number, len(pauses) - 1)] for number in range(restarts + 1)]
    return timedelta(minutes=so_far[-1]) if sum(so_far) <= settings.restart_for_hours * 60 else None


def restart_at(instance: DagsterInstance, record: "RunRecord", settings: Settings) -> datetime | None:
    """When an ended run is started over; None: never.

    A newer run of the same partition takes its place, whoever started it.
    """
    run = record.dagster_run
    if outcome_of(run) is not Outcome.BROKEN or run.tags.get(TRANSIENT_TAG) != "true":
        return None
    if run.status is not DagsterRunStatus.FAILURE or run.job_name != JOB:
        return None
    delay = restart_delay(settings, restarts_of(run))
    if delay is None or not is_partition(run, settings) or _has_a_newer_run(instance, record):
        return None
    return end_of(record) + delay


def is_partition(run: "DagsterRun", settings: Settings) -> bool:
    """Whether the run's specialist and week still are one. For any other, Dagster refuses all requests of a tick."""
    partition = Partition.named(run.tags.get(PARTITION_TAG, ""))
    first = first_week(settings.now(), settings.keep_weeks, settings.first_week)
    return partition is not None and partition.week >= first


def restarts_of(run: "DagsterRun") -> int:
    """How often the work of this run was started over before."""
    return int(run.tags.get(RESTARTS_TAG) or 0)


def awaiting_restart(
    instance: DagsterInstance, settings: Settings, now: datetime, specialist: Specialist | None = None
) -> "list[tuple[RunRecord, datetime]]":
    """The runs that will be started over, of one specialist or of all, each with its time."""
    tags = {TRANSIENT_TAG: "true"} | ({SPECIALIST_TAG: str(specialist)} if specialist else {})
    broken = RunsFilter(
        job_name=JOB,
        statuses=[DagsterRunStatus.FAILURE],
        tags=tags,
        updated_after=now - max(_LOOK_BACK, 2 * _longest_pause(settings)),
    )
    times = [(record, restart_at(instance, record, settings)) for record in instance.get_run_records(broken)]
    return [(record, at) for record, at in times if at is not None]


def _longest_pause(settings: Settings) -> timedelta:
    """Of those that leave time for a restart."""
    most = settings.restart_for_hours * 60
    return timedelta(minutes=max((pause for pause in settings.restart_after_minutes if pause <= most), default=0))


def _has_a_newer_run(instance: DagsterInstance, record: "RunRecord") -> bool:
    run = record.dagster_run
    newer = RunsFilter(tags={PARTITION_TAG: run.tags[PARTITION_TAG]}, created_after=record.create_timestamp)
    return any(other.run_id != run.run_id and _includes(other, run) for other in instance.get_runs(newer))


def _includes(one: "DagsterRun", other: "DagsterRun") -> bool:
    """Whether one run does at least the work of another one."""
    if is_whole(one):
        return True
    return not is_whole(other) and (other.asset_selection or set()) <= (one.asset_selection or set())
