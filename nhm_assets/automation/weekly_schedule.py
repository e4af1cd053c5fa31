"""The weekly schedule: one run per specialist for the week that just closed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    DefaultScheduleStatus,
    ResourceParam,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from nhm_assets.domain.dagster_names import JOB, SCHEDULE
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.closed_week import closed_week, run_among, run_for_closed_week, runs_of
from nhm_assets.runs.tags import ASKED_AT_TAG, TRIGGER_TAG
from nhm_assets.runs.ticks import is_preview
from nhm_assets.runs.triggers import TRIGGERS, WEEKLY, Claim, claim, new_trigger, weekly_trigger_id
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mongo import Mongo

if TYPE_CHECKING:
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
    week = closed_week(settings, now)
    if week is None:
        yield SkipReason(f"the week that closed last is no partition: FIRST_WEEK is {settings.first_week}")
        return
    requested = False
    reasons = []
    partitions = [Partition(week, specialist) for specialist in all_specialists()]
    runs = runs_of(context.instance, partitions)
    with ExitStack() as stack:
        claims = _Claims(context, settings, mongo, now, stack)
        for partition in partitions:
            run = run_among(runs.get(str(partition.key), []), context.instance, partition, settings)
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
