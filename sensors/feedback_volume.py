"""The sensor on new feedback: it retrains a specialist in mid-week where enough has come in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from nhm_assets.domain.dagster_names import JOB, VOLUME_SENSOR
from nhm_assets.domain.partitions import Partition, Window, running_week
from nhm_assets.domain.specialists import Specialist
from nhm_assets.feedback.times import count_feedback
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.queries import (
    ASKED_AT_TAG,
    TRIGGER_TAG,
    last_window_end,
    run_under_way,
    run_with_key,
    submitted,
)
from nhm_assets.runs.triggers import (
    EXPIRED,
    FEEDBACK_VOLUME,
    REQUESTED,
    TRIGGERS,
    Claim,
    Trigger,
    claim,
    last_volume_trigger,
    note_expired,
    note_launched,
    volume_trigger_id,
)
from nhm_assets.settings import Settings
from resources.mongo import Mongo

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]

_INTERVAL_S: Final = 30
_LEASE_S: Final = 120.0
"""For a daemon to launch what it asked for: twice what a tick may last."""


@dataclass(frozen=True)
class Decision:
    """What a tick says of one specialist: a sentence, and a run where one is due."""

    sentence: str
    request: RunRequest | None = None


@sensor(
    name=VOLUME_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Retrains a specialist on the running week once RETRAINING_FEEDBACK_THRESHOLD feedback documents have come in"
        " since the end of its newest dataset's window, at most once in RETRAINING_COOLDOWN_HOURS. It needs no cursor:"
        " what was launched stands in `retraining_triggers` and in Dagster's runs."
    ),
)
def feedback_volume_sensor(
    context: SensorEvaluationContext, settings: ResourceParam[Settings], mongo: ResourceParam[Mongo]
) -> SensorResult:
    """Judge every specialist by what the databases hold, whatever earlier ticks saw."""
    with mongo.database() as database:
        evaluation = _Evaluation(context.instance, database, settings, settings.now())
        decisions = [evaluation.decide(specialist) for specialist in Specialist]
    requests = [decision.request for decision in decisions if decision.request]
    if requests:
        for decision in decisions:
            context.log.info(decision.sentence)
        return SensorResult(run_requests=requests)
    # Not into the log as well: every tick that writes one leaves a file behind.
    return SensorResult(skip_reason=SkipReason("\n".join(decision.sentence for decision in decisions)))


@dataclass(frozen=True)
class _Evaluation:
    """One tick, at one moment."""

    instance: DagsterInstance
    database: "Database[Document]"
    settings: Settings
    now: datetime

    @property
    def _triggers(self) -> "Collection[Document]":
        return self.database[TRIGGERS]

    def decide(self, specialist: Specialist) -> Decision:
        last = self._settle(last_volume_trigger(self._triggers, specialist))
        if last and last.status == REQUESTED:
            return self._ask_again(last)
        partition = Partition(running_week(self.now), specialist)
        window = partition.window(days=self.settings.feedback_window_days, now=self.now)
        since = last_window_end(self.instance, specialist)
        # Where there is no dataset yet: what one of now would be made from.
        counted = Window(since or window.start, self.now)
        count = count_feedback(self.database[self.settings.feedback_collection], specialist, counted)
        threshold = self.settings.retraining_feedback_threshold
        found = f"{specialist}: {count} of {threshold} feedback documents since {counted.start:%Y-%m-%d %H:%M}"
        if count < threshold:
            return Decision(found)
        if why := self._why_not_now(specialist, last):
            return Decision(f"{found}; {why}")
        fields: Document = {
            "kind": FEEDBACK_VOLUME,
            "number": last.number + 1 if last else 1,
            "specialist": str(specialist),
            "week": partition.week,
            "count": count,
            "threshold": threshold,
            "counted_since": counted.start,
            "window": {"start": window.start, "end": window.end},
            "requested_at": self.now,
        }
        trigger = volume_trigger_id(specialist, fields["number"], since)
        if claim(self._triggers, trigger, fields, lease_s=_LEASE_S) is not Claim.OURS:
            return Decision(f"{found}; another daemon has just asked for a run")
        return Decision(f"{found}: retraining week {partition.week}", self._request(trigger, partition))

    def _why_not_now(self, specialist: Specialist, last: Trigger | None) -> str | None:
        """What keeps enough feedback from being learned from at once."""
        if run := run_under_way(self.instance, specialist):
            return f"run {run.run_id} is under way"
        if last is None or last.status == EXPIRED:
            return None
        free = last.requested_at + self._cooldown
        asked = f"a run was asked for at {last.requested_at:%Y-%m-%d %H:%M}"
        return f"{asked}, the next may be at {free:%Y-%m-%d %H:%M}" if self.now < free else None

    @property
    def _cooldown(self) -> timedelta:
        return timedelta(hours=self.settings.retraining_cooldown_hours)

    def _settle(self, last: Trigger | None) -> Trigger | None:
        """Note the run that an earlier tick asked for, or that nobody will ask for it any more."""
        if last is None or last.status != REQUESTED:
            return last
        run = run_with_key(self.instance, last.run_key)
        if run and submitted(run):
            note_launched(self._triggers, last.id, run.run_id, self.now)
        elif run is None and last.partition.week != running_week(self.now):
            note_expired(self._triggers, last.id)
        else:
            return last
        return last_volume_trigger(self._triggers, last.partition.specialist)

    def _ask_again(self, last: Trigger) -> Decision:
        """An earlier tick has claimed this run, which does not exist (yet)."""
        asked = f"{last.partition.specialist}: a run was asked for at {last.requested_at:%Y-%m-%d %H:%M}"
        if claim(self._triggers, last.id, {}, lease_s=_LEASE_S) is not Claim.OURS:
            return Decision(f"{asked} and is being launched")
        return Decision(f"{asked} and never launched: asking again", self._request(last.id, last.partition))

    def _request(self, trigger: str, partition: Partition) -> RunRequest:
        tags = {TRIGGER_TAG: trigger, ASKED_AT_TAG: self.now.isoformat(), ACTOR_TAG: VOLUME_SENSOR}
        return RunRequest(run_key=trigger, partition_key=partition.key, tags=tags)
