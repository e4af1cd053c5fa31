"""The weekly schedule: one run per specialist for the week that just closed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    DagsterInstance,
    DefaultScheduleStatus,
    ResourceParam,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from nhm_assets.domain.dagster_names import JOB, SCHEDULE
from nhm_assets.domain.outcomes import UNDECIDED
from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.queries import (
    ASKED_AT_TAG,
    IN_PROGRESS,
    PARTITION_TAG,
    TRIGGER_TAG,
    WILL_RETRY_TAG,
    is_whole,
    outcome_of,
    submitted,
    was_retried,
)
from nhm_assets.runs.restarts import restart_at
from nhm_assets.runs.ticks import is_preview
from nhm_assets.runs.triggers import TRIGGERS, WEEKLY, Claim, claim, new_trigger, weekly_trigger_id
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mongo import Mongo

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord
    from pymongo.database import Database

SUNDAYS_AT_TWO: Final = "0 2 * * 0"
_LEASE_S: Final = 30.0
"""A daemon has this long to launch the runs it requested. A second daemon waits for it, within one tick."""


def weekly_schedule(cron_schedule: str = SUNDAYS_AT_TWO) -> ScheduleDefinition:
    """The schedule; tests give it another time."""

    @schedule(
        name=SCHEDULE,
        job_name=JOB,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description=(
            "Every Sunday at 02:00 UTC: retrains all specialists on the week that closed two hours earlier. After an"
            " outage, it takes the newest closed week and retrains the specialists that have no outcome for it yet."
            " For older weeks, start a backfill."
        ),
    )
    def weekly_retraining_schedule(
        context: ScheduleEvaluationContext, settings: ResourceParam[Settings], mongo: ResourceParam[Mongo]
    ) -> Iterator[RunRequest | SkipReason]:
        yield from _requests(context, settings, mongo)

    return weekly_retraining_schedule


def _requests(
    context: ScheduleEvaluationContext, settings: Settings, mongo: Mongo
) -> Iterator[RunRequest | SkipReason]:
    """One run per specialist that has neither an outcome for the newest closed week nor a run in progress for it."""
    now = settings.nhm_now or max(settings.now(), context.scheduled_execution_time)
    requested = False
    reasons = []
    partitions = [Partition(last_closed_week(now), specialist) for specialist in all_specialists()]
    runs = _runs_of(context.instance, partitions)
    with ExitStack() as stack:
        claims = _Claims(context, settings, mongo, now, stack)
        for partition in partitions:
            run = _run_among(runs.get(str(partition.key), []), context.instance, partition, settings)
            if run is None and claims.get(partition):
                requested = True
                yield _request(partition, now)
            else:
                ours = f"run {run.run_id} has retrained it or will do so" if run else None
                reasons.append(f"{partition.key}: {ours or 'another daemon just requested its run'}")
    if not requested:
        yield SkipReason("; ".join(reasons))
        return
    for reason in reasons:
        context.log.info(reason)


def _request(partition: Partition, now: datetime) -> RunRequest:
    trigger = weekly_trigger_id(partition)
    tags = {TRIGGER_TAG: trigger, ASKED_AT_TAG: now.isoformat(), ACTOR_TAG: SCHEDULE}
    return RunRequest(run_key=trigger, partition_key=partition.key, tags=tags)


def run_for_closed_week(instance: DagsterInstance, partition: Partition, settings: Settings) -> "DagsterRun | None":
    """A run that settles the partition's week, or may still do so; None if one is due.

    A run requested before the week closed has seen only a part of its feedback. One that selected only a part of the
    graph settles nothing. The schedule's own run was requested already, whatever became of it.
    """
    runs = _runs_of(instance, [partition])
    return _run_among(runs.get(str(partition.key), []), instance, partition, settings)


def _runs_of(instance: DagsterInstance, partitions: Sequence[Partition]) -> "dict[str, list[RunRecord]]":
    """Partition key -> its runs, newest first; in one query for all."""
    runs: dict[str, list[RunRecord]] = {}
    for record in instance.get_run_records(RunsFilter(tags={PARTITION_TAG: [str(one.key) for one in partitions]})):
        runs.setdefault(record.dagster_run.tags[PARTITION_TAG], []).append(record)
    return runs


def _run_among(
    records: "list[RunRecord]", instance: DagsterInstance, partition: Partition, settings: Settings
) -> "DagsterRun | None":
    for record in records:
        run = record.dagster_run
        if not is_whole(run) or _requested_at(record) < partition.week_end:
            continue
        is_ours = run.tags.get(TRIGGER_TAG) == weekly_trigger_id(partition)
        if _has_settled(run) or (submitted(run) and (is_ours or _goes_on(instance, record, settings))):
            return run
    return None


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


@dataclass
class _Claims:
    """If several evaluations happen at the same time, one of them claims a partition's run.

    A missed tick delays retraining by a week. So without MongoDB the run is requested anyway, and its own error
    says what is missing.

    Attributes:
        stack: closes the database, which is opened once per tick.
        unavailable: why MongoDB did not answer. It gets one chance per tick, because a tick must be short.
    """

    context: ScheduleEvaluationContext
    settings: Settings
    mongo: Mongo
    now: datetime
    stack: ExitStack
    unavailable: ServiceError | None = None
    _database: "Database[dict[str, Any]] | None" = None

    def get(self, partition: Partition) -> bool:
        """Whether this evaluation requests the run. A preview claims nothing."""
        if is_preview(self.context):
            return True
        if self.unavailable is None:
            try:
                return self._claimed(partition)
            except ServiceError as error:
                self.unavailable = error
        self.context.log.warning(
            "%s: requested without a document in %s. %s", partition.key, TRIGGERS, self.unavailable
        )
        return True

    def _claimed(self, partition: Partition) -> bool:
        """Claim the partition; if another evaluation was first, wait until its run exists."""
        trigger = weekly_trigger_id(partition)
        days = self.settings.feedback_window_days
        fields = new_trigger(WEEKLY, partition, window_days=days, requested_at=self.now)
        deadline = time.monotonic() + _LEASE_S + 5
        if self._database is None:
            self._database = self.stack.enter_context(self.mongo.database())
        with self.mongo.errors():
            while claim(self._database[TRIGGERS], trigger, fields, lease_s=_LEASE_S) is Claim.THEIRS:
                if run_for_closed_week(self.context.instance, partition, self.settings) or time.monotonic() > deadline:
                    return False
                time.sleep(0.5)
        return True
