"""The sensor on new feedback: it retrains a specialist before the week closes once enough has arrived."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from nhm_assets.domain.dagster_names import INCREMENT_CONFIG, JOB, VOLUME_SENSOR
from nhm_assets.domain.partitions import Partition, Window, running_week
from nhm_assets.domain.provenance import left_out
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.domain.times import count_feedback, count_feedback_of
from nhm_assets.runs.closed_week import unsettled, why_no_increment
from nhm_assets.runs.datasets import learned_until_of_all
from nhm_assets.runs.queries import runs_in_progress
from nhm_assets.runs.restarts import awaiting_restart
from nhm_assets.runs.tags import SPECIALIST_TAG
from nhm_assets.runs.ticks import is_preview
from nhm_assets.runs.triggers import (
    FEEDBACK_VOLUME,
    REQUESTED,
    TRIGGERS,
    Trigger,
    new_trigger,
    newest_triggers,
    volume_trigger_id,
)
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mongo import Mongo
from sensors.requests import MINUTE, Decision, Requests, tick_result

if TYPE_CHECKING:
    from dagster import DagsterRun, RunRecord
    from pymongo.collection import Collection
    from pymongo.database import Database

Document = dict[str, Any]

_INTERVAL_S: Final = 30
_SLOW_COUNTS_S: Final = 30.0
"""Half a tick, for counting one by one where the count for all took too long."""


@sensor(
    name=VOLUME_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Retrains a specialist on the current week once RETRAINING_FEEDBACK_THRESHOLD feedback documents have arrived"
        " since the end of the window that it last learned from, at most once per RETRAINING_COOLDOWN_HOURS. With"
        " INCREMENT, INCREMENT_THRESHOLD documents start an increment instead. Feedback"
        " that a dataset would leave out, such as that of scripts, does not count. The sensor needs"
        " no cursor: `retraining_triggers` and Dagster's runs record what was launched."
    ),
)
def feedback_volume_sensor(
    context: SensorEvaluationContext, settings: ResourceParam[Settings], mongo: ResourceParam[Mongo]
) -> SensorResult:
    """Decide for every specialist by what the databases hold now, whatever earlier ticks saw."""
    preview = is_preview(context)
    with mongo.database() as database:
        evaluation = _Evaluation(context.instance, database, settings, settings.now(), writes=not preview)
        return tick_result(context, _decisions(evaluation))


def _decisions(evaluation: "_Evaluation") -> list[Decision]:
    """One decision per specialist. One that cannot be decided does not cost the others the runs they have claimed."""
    from pymongo.errors import AutoReconnect, ExecutionTimeout

    decisions: list[Decision] = []
    evaluation.count()
    for specialist in all_specialists():
        try:
            decisions.append(evaluation.decide(specialist))
        except ExecutionTimeout:
            slow = "MongoDB is too slow to count its feedback. The next tick tries again. Missing indexes: `nhm status`"
            decisions.append(Decision(f"{specialist}: {slow}"))
        except (AutoReconnect, ServiceError) as error:
            if not any(decision.request for decision in decisions):
                raise
            decisions.append(Decision(f"{specialist}: not decided in this tick, nor those after it. {error}"))
            break
    return decisions


@dataclass
class _Evaluation:
    """One tick, at one moment. What concerns every specialist is asked once for all.

    Attributes:
        writes: false for a preview, which must change nothing.
        counts: new feedback documents; empty if they could not be counted for all at once.
        slow_until: when counting one by one has used up its share of the tick.
    """

    instance: DagsterInstance
    database: "Database[Document]"
    settings: Settings
    now: datetime
    writes: bool = True
    counts: dict[str, int] = field(default_factory=dict)
    slow_until: float | None = None

    def count(self) -> None:
        """Count the new feedback of all; if that takes too long, each specialist is counted by itself."""
        from pymongo.errors import ExecutionTimeout

        windows = {str(specialist): self._counted(specialist) for specialist in all_specialists()}
        try:
            self.counts = count_feedback_of(self._feedback, windows, without=left_out(self.settings.selection))
        except ExecutionTimeout:
            self.slow_until = time.monotonic() + _SLOW_COUNTS_S

    @property
    def _feedback(self) -> "Collection[Document]":
        return self.database[self.settings.feedback_collection]

    @cached_property
    def _last(self) -> dict[str, Trigger]:
        return newest_triggers(self.database[TRIGGERS], FEEDBACK_VOLUME)

    @cached_property
    def _learned_until(self) -> dict[str, datetime | None]:
        return learned_until_of_all(self.instance, all_specialists(), running_week(self.now))

    @cached_property
    def _in_progress(self) -> "dict[str, DagsterRun]":
        return runs_in_progress(self.instance)

    @cached_property
    def _awaiting_restart(self) -> "dict[str, tuple[RunRecord, datetime]]":
        waiting = awaiting_restart(self.instance, self.settings, datetime.now(UTC))
        return {record.dagster_run.tags[SPECIALIST_TAG]: (record, at) for record, at in reversed(waiting)}

    @cached_property
    def _unsettled(self) -> set[str]:
        return unsettled(self.instance, all_specialists(), self.settings, self.now)

    def _window(self, specialist: Specialist) -> Window:
        partition = Partition(running_week(self.now), specialist)
        return partition.window(days=self.settings.feedback_window_days, now=self.now)

    def _counted(self, specialist: Specialist) -> Window:
        """Without a dataset, everything that a new one would learn from counts."""
        return Window(self._learned_until.get(specialist) or self._window(specialist).start, self.now)

    def _count_of(self, specialist: Specialist) -> int:
        from pymongo.errors import ExecutionTimeout

        if self.slow_until is None:
            return self.counts[specialist]
        if time.monotonic() > self.slow_until:
            raise ExecutionTimeout("the counts before it have used up the time")
        return count_feedback(
            self._feedback, specialist, self._counted(specialist), without=left_out(self.settings.selection)
        )

    @cached_property
    def _requests(self) -> Requests:
        return Requests(
            self.instance,
            self.database[TRIGGERS],
            self.settings,
            self.now,
            FEEDBACK_VOLUME,
            VOLUME_SENSOR,
            writes=self.writes,
            run_config=INCREMENT_CONFIG if self.settings.increment else {},
        )

    def decide(self, specialist: Specialist) -> Decision:
        last = self._requests.refresh(self._last.get(specialist))
        if last and last.outcome == REQUESTED:
            return self._requests.again(last)
        partition = Partition(running_week(self.now), specialist)
        window, counted, since = self._window(specialist), self._counted(specialist), self._learned_until[specialist]
        count = self._count_of(specialist)
        threshold = self.settings.volume_threshold
        volume = f"{specialist}: {count} of {threshold} feedback documents since {counted.start:{MINUTE}}"
        if count < threshold:
            return Decision(volume)
        if obstacle := self._obstacle(specialist, last):
            return Decision(f"{volume}; {obstacle}")
        number = last.number + 1 if last else 1
        days = self.settings.feedback_window_days
        fields: Document = {
            **new_trigger(
                FEEDBACK_VOLUME,
                partition,
                number=number,
                count=count,
                window_days=days,
                requested_at=self.now,
                increment=self.settings.increment,
            ),
            "count": count,
            "threshold": threshold,
            "counted_since": counted.start,
            "window": {"start": window.start, "end": window.end},
        }
        request = self._requests.claimed(volume_trigger_id(specialist, number, since), partition, fields)
        if request is None:
            return Decision(f"{volume}; another daemon has just requested a run")
        work = "an increment" if self.settings.increment else "retraining"
        return Decision(f"{volume}; {work} on week {partition.week}", request)

    def _obstacle(self, specialist: Specialist, last: Trigger | None) -> str | None:
        """Why there is no run now although there is enough feedback."""
        if run := self._in_progress.get(specialist):
            return f"run {run.run_id} is in progress"
        if waiting := self._awaiting_restart.get(specialist):
            broken, at = waiting[0].dagster_run.run_id, waiting[1]
            return f"run {broken} broke because a service was down, and is started over at {at:{MINUTE}}"
        if self.settings.increment and specialist in self._unsettled:
            return why_no_increment(specialist, self.now)
        return self._requests.cooling_down(last)
