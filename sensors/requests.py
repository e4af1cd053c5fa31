"""How a sensor requests runs: one for each cause, however many daemons evaluate it and whenever one of them dies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import DagsterInstance, RunRequest, SensorEvaluationContext, SensorResult, SkipReason

from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.queries import record_with_key, submitted
from nhm_assets.runs.tags import ASKED_AT_TAG, TRIGGER_TAG
from nhm_assets.runs.triggers import (
    EXPIRED,
    REQUESTED,
    Claim,
    Trigger,
    claim,
    mark_expired,
    mark_launched,
    newest_trigger,
)
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from pymongo.collection import Collection

MINUTE: Final = "%Y-%m-%d %H:%M"
"""How sentences show a time."""
_LEASE_S: Final = 120.0
"""A daemon has this long to launch the run it requested: twice the time limit of a tick."""


@dataclass(frozen=True)
class Decision:
    """What a tick decides for one specialist: a sentence, and a run if one is due."""

    sentence: str
    request: RunRequest | None = None


@dataclass(frozen=True)
class Requests:
    """The requests of one sensor in one tick.

    Attributes:
        kind: of the sensor's triggers.
        sensor: its name, which the runs carry.
        now: the time of the tick.
        writes: false for a preview, which claims and records nothing.
        run_config: of the runs.
    """

    instance: DagsterInstance
    triggers: "Collection[dict[str, Any]]"
    settings: Settings
    now: datetime
    kind: str
    sensor: str
    writes: bool
    run_config: Mapping[str, Any] = field(default_factory=dict)

    def refresh(self, last: Trigger | None) -> Trigger | None:
        """Record the run that an earlier tick requested, or that its request has expired."""
        if last is None or last.outcome != REQUESTED or not self.writes:
            return last
        record = record_with_key(self.instance, last.run_key)
        if record and submitted(record.dagster_run):
            # Not this tick's time: the run may have ended since, and its outcome may be recorded at this moment.
            mark_launched(self.triggers, last.id, record.dagster_run.run_id, record.create_timestamp)
        elif record is None and last.partition.week != running_week(self.now):
            mark_expired(self.triggers, last.id)
        else:
            return last
        return newest_trigger(self.triggers, last.partition.specialist, self.kind)

    def again(self, last: Trigger) -> Decision:
        """For a run that an earlier tick claimed and that does not exist yet."""
        requested = f"{last.partition.specialist}: a run was requested at {last.requested_at:{MINUTE}}"
        request = self.claimed(last.id, last.partition, {})
        if request is None:
            return Decision(f"{requested} and is being launched")
        return Decision(f"{requested} but not launched; requesting it again", request)

    def claimed(self, trigger: str, partition: Partition, fields: Mapping[str, object]) -> RunRequest | None:
        """The request, if this tick gets the claim for it; None if another one has it, or the run exists.

        Args:
            trigger: `_id` of the document in `retraining_triggers`, and the run's key.
            partition: what is retrained.
            fields: of a new document.
        """
        if self.writes and claim(self.triggers, trigger, fields, lease_s=_LEASE_S) is not Claim.OURS:
            return None
        tags = {TRIGGER_TAG: trigger, ASKED_AT_TAG: self.now.isoformat(), ACTOR_TAG: self.sensor}
        return RunRequest(
            run_key=trigger, partition_key=partition.key, tags=tags, run_config=dict(self.run_config) or None
        )

    def cooling_down(self, last: Trigger | None) -> str | None:
        """Why it is too early for another run after this one; None if it is not."""
        if last is None or last.outcome == EXPIRED or last.transient:
            return None
        cooled_down = last.requested_at + timedelta(hours=self.settings.retraining_cooldown_hours)
        if self.now >= cooled_down:
            return None
        requested = f"the last run was requested at {last.requested_at:{MINUTE}}"
        return f"{requested}, the next is possible at {cooled_down:{MINUTE}}"


def tick_result(context: SensorEvaluationContext, decisions: Sequence[Decision], nothing: str = "") -> SensorResult:
    """The runs that are due; if there are none, the sentences, or `nothing` if there is no sentence."""
    requests = [decision.request for decision in decisions if decision.request]
    if not requests:
        # Not logged: every tick that logs leaves a file behind.
        return SensorResult(skip_reason=one_line(*([decision.sentence for decision in decisions] or [nothing])))
    for decision in decisions:
        context.log.info(decision.sentence)
    return SensorResult(run_requests=requests)


def one_line(*sentences: str) -> SkipReason:
    """Sentences as Dagster's UI shows them; it would put lines together without anything between them."""
    return SkipReason(" · ".join(sentences))
