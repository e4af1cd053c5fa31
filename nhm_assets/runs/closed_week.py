"""Whether the week that closed last is retrained: by which run, or by which that is still on its way."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dagster import DagsterInstance, RunsFilter

from nhm_assets.domain.dagster_names import SCHEDULE
from nhm_assets.domain.outcomes import UNDECIDED
from nhm_assets.domain.partitions import Partition, first_week, last_closed_week
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.queries import IN_PROGRESS, is_increment, is_whole, outcome_of, submitted, was_retried
from nhm_assets.runs.restarts import restart_at
from nhm_assets.runs.tags import ASKED_AT_TAG, PARTITION_TAG, TRIGGER_TAG, WILL_RETRY_TAG
from nhm_assets.runs.triggers import weekly_trigger_id
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord


def closed_week(settings: Settings, now: datetime) -> str | None:
    """First day of the week that closed last; None if it is no partition, because the first week is a later one."""
    week = last_closed_week(now)
    return week if week >= first_week(now, settings.keep_weeks, settings.first_week) else None


def run_for_closed_week(instance: DagsterInstance, partition: Partition, settings: Settings) -> "DagsterRun | None":
    """A run that settles the partition's week, or may still do so; None if one is due.

    A run requested before the week closed has seen only a part of its feedback. An increment, and a run that selected
    only a part of the graph, settle nothing. The schedule's own run was requested already, whatever became of it.
    """
    runs = runs_of(instance, [partition])
    return run_among(runs.get(str(partition.key), []), instance, partition, settings)


def runs_of(instance: DagsterInstance, partitions: Sequence[Partition]) -> "dict[str, list[RunRecord]]":
    """Partition key -> its runs, newest first; in one query for all."""
    runs: dict[str, list[RunRecord]] = {}
    for record in instance.get_run_records(RunsFilter(tags={PARTITION_TAG: [str(one.key) for one in partitions]})):
        runs.setdefault(record.dagster_run.tags[PARTITION_TAG], []).append(record)
    return runs


def run_among(
    records: "Iterable[RunRecord]", instance: DagsterInstance, partition: Partition, settings: Settings
) -> "DagsterRun | None":
    """The same as `run_for_closed_week`, among these runs of the partition."""
    for record in records:
        run = record.dagster_run
        if not _is_of_closed_week(record, partition):
            continue
        is_ours = run.tags.get(TRIGGER_TAG) == weekly_trigger_id(partition)
        if _has_settled(run) or (submitted(run) and (is_ours or _goes_on(instance, record, settings))):
            return run
    return None


def is_settled(records: "Iterable[RunRecord]", partition: Partition) -> bool:
    """Whether one of these runs of the partition has settled its week: it trained in full, and came to an outcome."""
    return any(_is_of_closed_week(record, partition) and _has_settled(record.dagster_run) for record in records)


def schedule_is_off(instance: DagsterInstance) -> bool:
    """Whether somebody has switched the weekly schedule off. It is on unless Dagster has recorded that."""
    states = [state for state in instance.all_instigator_state() if state.instigator_name == SCHEDULE]
    # A code location that has moved leaves the state of its old address behind; the newest is the last one.
    return bool(states) and not states[-1].is_running


def unsettled(
    instance: DagsterInstance, specialists: Iterable[Specialist], settings: Settings, now: datetime
) -> set[str]:
    """Who is still to be retrained in full on the closed week, which the weekly schedule takes care of.

    An increment of the running week has the newer window: once it is promoted, that training would be superseded.
    If the schedule is switched off, or the closed week is no partition, no such training has to come.
    """
    week = closed_week(settings, now)
    if week is None or schedule_is_off(instance):
        return set()
    closed = [Partition(week, specialist) for specialist in specialists]
    runs = runs_of(instance, closed)
    return {str(one.specialist) for one in closed if not is_settled(runs.get(str(one.key), ()), one)}


def why_no_increment(specialist: str, now: datetime) -> str:
    """The sentence for one of those who are unsettled, with what to do."""
    week = last_closed_week(now)
    return (
        f"no increment before the full retraining of week {week}, which it would supersede. If"
        f" {SCHEDULE} does not start it: nhm retrain --specialist {specialist} --week {week}"
    )


def _is_of_closed_week(record: "RunRecord", partition: Partition) -> bool:
    run = record.dagster_run
    return is_whole(run) and not is_increment(run) and _requested_at(record) >= partition.week_end


def _has_settled(run: "DagsterRun") -> bool:
    return outcome_of(run) not in (None, *UNDECIDED)


def _goes_on(instance: DagsterInstance, record: "RunRecord", settings: Settings) -> bool:
    """Whether the run is in progress, or is retried or started over."""
    run = record.dagster_run
    if run.status in IN_PROGRESS or restart_at(instance, record, settings):
        return True
    return run.is_failure and run.tags.get(WILL_RETRY_TAG) == "true" and not was_retried(instance, run)


def _requested_at(record: "RunRecord") -> datetime:
    requested = record.dagster_run.tags.get(ASKED_AT_TAG)
    return datetime.fromisoformat(requested) if requested else record.create_timestamp
