"""The sensor on new feedback: it retrains a specialist before the week closes once enough has arrived."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    AssetRecordsFilter,
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from nhm_assets.domain.dagster_names import FEEDBACK_DATASET, JOB, VOLUME_SENSOR
from nhm_assets.domain.partitions import Partition, Window, running_week
from nhm_assets.domain.specialists import Specialist
from nhm_assets.feedback.times import count_feedback
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.queries import (
    ASKED_AT_TAG,
    TRIGGER_TAG,
    run_in_progress,
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
    mark_expired,
    mark_launched,
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
"""A daemon has this long to launch the run it requested: twice the time limit of a tick."""
_MINUTE: Final = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class Decision:
    """What a tick decides for one specialist: a sentence, and a run if one is due."""

    sentence: str
    request: RunRequest | None = None


@sensor(
    name=VOLUME_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Retrains a specialist on the current week once RETRAINING_FEEDBACK_THRESHOLD feedback documents have arrived"
        " since the end of its newest dataset's window, at most once per RETRAINING_COOLDOWN_HOURS. It needs no"
        " cursor: `retraining_triggers` and Dagster's runs record what was launched."
    ),
)
def feedback_volume_sensor(
    context: SensorEvaluationContext, settings: ResourceParam[Settings], mongo: ResourceParam[Mongo]
) -> SensorResult:
    """Decide for every specialist by what the databases hold now, whatever earlier ticks saw."""
    with mongo.database() as database:
        evaluation = _Evaluation(context.instance, database, settings, settings.now())
        decisions = [evaluation.decide(specialist) for specialist in Specialist]
    requests = [decision.request for decision in decisions if decision.request]
    if requests:
        for decision in decisions:
            context.log.info(decision.sentence)
        return SensorResult(run_requests=requests)
    # Not logged: every tick that logs leaves a file behind.
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
        last = self._refresh(last_volume_trigger(self._triggers, specialist))
        if last and last.status == REQUESTED:
            return self._request_again(last)
        partition = Partition(running_week(self.now), specialist)
        window = partition.window(days=self.settings.feedback_window_days, now=self.now)
        since = last_window_end(self.instance, specialist)
        # Without a dataset, everything that a new one would learn from counts.
        counted = Window(since or window.start, self.now)
        count = count_feedback(self.database[self.settings.feedback_collection], specialist, counted)
        threshold = self.settings.retraining_feedback_threshold
        volume = f"{specialist}: {count} of {threshold} feedback documents since {counted.start:{_MINUTE}}"
        if count < threshold:
            return Decision(volume)
        if obstacle := self._obstacle(specialist, last):
            return Decision(f"{volume}; {obstacle}")
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
            return Decision(f"{volume}; another daemon has just requested a run")
        return Decision(f"{volume}; retraining on week {partition.week}", self._request(trigger, partition))

    def _obstacle(self, specialist: Specialist, last: Trigger | None) -> str | None:
        """Why there is no run now although there is enough feedback."""
        if run := run_in_progress(self.instance, specialist):
            return f"run {run.run_id} is in progress"
        if last is None or last.status == EXPIRED:
            return None
        cooled_down = last.requested_at + timedelta(hours=self.settings.retraining_cooldown_hours)
        if self.now >= cooled_down:
            return None
        requested = f"the last run was requested at {last.requested_at:{_MINUTE}}"
        return f"{requested}, the next is possible at {cooled_down:{_MINUTE}}"

    def _refresh(self, last: Trigger | None) -> Trigger | None:
        """Record the run that an earlier tick requested, or that this request has expired."""
        if last is None or last.status != REQUESTED:
            return last
        run = run_with_key(self.instance, last.run_key)
        if run and submitted(run):
            mark_launched(self._triggers, last.id, run.run_id, self.now)
        elif run is None and last.partition.week != running_week(self.now):
            mark_expired(self._triggers, last.id)
        else:
            return last
        return last_volume_trigger(self._triggers, last.partition.specialist)

    def _request_again(self, last: Trigger) -> Decision:
        """For a run that an earlier tick claimed and that does not exist yet."""
        requested = f"{last.partition.specialist}: a run was requested at {last.requested_at:{_MINUTE}}"
        if claim(self._triggers, last.id, {}, lease_s=_LEASE_S) is not Claim.OURS:
            return Decision(f"{requested} and is being launched")
        return Decision(f"{requested} but not launched; requesting it again", self._request(last.id, last.partition))

    def _request(self, trigger: str, partition: Partition) -> RunRequest:
        tags = {TRIGGER_TAG: trigger, ASKED_AT_TAG: self.now.isoformat(), ACTOR_TAG: VOLUME_SENSOR}
        return RunRequest(run_key=trigger, partition_key=partition.key, tags=tags)


def last_window_end(instance: DagsterInstance, specialist: Specialist) -> datetime | None:
    """End of the window of this specialist's newest dataset; None without a dataset."""
    partitions = map(Partition.from_key, instance.get_materialized_partitions(FEEDBACK_DATASET))
    weeks = sorted((partition.week for partition in partitions if partition.specialist == specialist), reverse=True)
    for week in weeks:
        key = str(Partition(week, specialist).key)
        where = AssetRecordsFilter(asset_key=FEEDBACK_DATASET, asset_partitions=[key])
        for record in instance.fetch_materializations(where, limit=1).records:
            window = record.asset_materialization and record.asset_materialization.metadata.get("window")
            if window and isinstance(window.value, list):
                return datetime.fromisoformat(str(window.value[1]))
    return None
