"""The weekly schedule: five runs for the week that closed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

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
from nhm_assets.domain.partitions import Partition, last_closed_week
from nhm_assets.domain.specialists import Specialist
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.queries import ASKED_AT_TAG, TRIGGER_TAG, run_for_closed_week
from nhm_assets.runs.triggers import TRIGGERS, WEEKLY, Claim, claim, weekly_trigger_id
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mongo import Mongo

if TYPE_CHECKING:
    from dagster import DagsterRun

SUNDAYS_AT_TWO: Final = "0 2 * * 0"
_LEASE_S: Final = 30.0
"""For a daemon to launch what it asked for. A second one waits that long, within the time that a tick has."""


def weekly_schedule(cron_schedule: str = SUNDAYS_AT_TWO) -> ScheduleDefinition:
    """The schedule, at another time where one is given."""

    @schedule(
        name=SCHEDULE,
        job_name=JOB,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description=(
            "Sundays 02:00 UTC: retrain all five specialists on the week that closed two hours earlier. After an"
            " outage it catches up with the newest closed week, for those specialists that have no outcome for it;"
            " older weeks are left to backfills."
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
    """One run a specialist that has neither an outcome for the newest closed week nor a run on its way to one."""
    now = settings.nhm_now or max(settings.now(), context.scheduled_execution_time)
    claims = _Claims(context, mongo, now)
    requested = False
    reasons = []
    for specialist in Specialist:
        partition = Partition(last_closed_week(now), specialist)
        done = run_for_closed_week(context.instance, partition)
        if done is None and claims.get(partition):
            requested = True
            yield _request(partition, now)
        else:
            reasons.append(f"{partition.key}: {_why_not(done)}")
    if not requested:
        yield SkipReason("; ".join(reasons))
        return
    for reason in reasons:
        context.log.info(reason)


def _why_not(done: "DagsterRun | None") -> str:
    return f"run {done.run_id} has retrained it or is about to" if done else "another daemon has just asked for it"


def _request(partition: Partition, now: datetime) -> RunRequest:
    trigger = weekly_trigger_id(partition)
    tags = {TRIGGER_TAG: trigger, ASKED_AT_TAG: now.isoformat(), ACTOR_TAG: SCHEDULE}
    return RunRequest(run_key=trigger, partition_key=partition.key, tags=tags)


@dataclass
class _Claims:
    """Of several evaluations at the same moment one gets to ask for a partition's run.

    A tick that is missed is missed for a week. So where MongoDB is away the run is asked for all the same, and
    says itself what it lacks.

    Attributes:
        away: why MongoDB was not to be had; it is waited for once, since the time of a tick is short.
    """

    context: ScheduleEvaluationContext
    mongo: Mongo
    now: datetime
    away: ServiceError | None = None

    def get(self, partition: Partition) -> bool:
        """Whether this evaluation is the one that asks for the run."""
        if self.away is None:
            try:
                return self._claimed(partition)
            except ServiceError as error:
                self.away = error
        self.context.log.warning("%s is asked for without a document in %s: %s", partition.key, TRIGGERS, self.away)
        return True

    def _claimed(self, partition: Partition) -> bool:
        """Claim it; where another evaluation was first, wait to see its run."""
        trigger = weekly_trigger_id(partition)
        fields = {
            "kind": WEEKLY,
            "number": 0,
            "specialist": str(partition.specialist),
            "week": partition.week,
            "requested_at": self.now,
        }
        waiting_ends = time.monotonic() + _LEASE_S + 5
        with self.mongo.database() as database:
            while claim(database[TRIGGERS], trigger, fields, lease_s=_LEASE_S) is Claim.THEIRS:
                if run_for_closed_week(self.context.instance, partition) or time.monotonic() > waiting_ends:
                    return False
                time.sleep(0.5)
        return True
