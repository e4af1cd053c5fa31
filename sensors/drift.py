"""The sensor on drift: it retrains a specialist whose plans have moved away, or whose served version is below the line.

Labels alone never start a run: a retraining needs them to be right, and people change their minds less often than they
make mistakes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    AssetCheckKey,
    DagsterInstance,
    DefaultSensorStatus,
    ResourceParam,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dagster_internals import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from nhm_assets.domain.dagster_names import DRIFT_SENSOR, JOB, SERVING_ON_LINE
from nhm_assets.domain.partitions import Partition, last_closed_week, running_week
from nhm_assets.domain.specialists import Specialist, all_specialists, recorded_specialist
from nhm_assets.promotion.recorded_checks import has_passed, text_of
from nhm_assets.registry.audit_log import AUDIT_LOG, learned_in_full
from nhm_assets.registry.recovery import version_at
from nhm_assets.runs.queries import run_in_progress
from nhm_assets.runs.restarts import awaiting_restart
from nhm_assets.runs.ticks import is_preview
from nhm_assets.runs.triggers import (
    DRIFT,
    REQUESTED,
    TRIGGERS,
    drift_trigger_id,
    new_trigger,
    newest_trigger,
    newest_triggers,
)
from nhm_assets.served.monitoring import DRIFT_MONITORING, monitoring_id
from nhm_assets.settings import Settings
from resources.mongo import Mongo
from sensors.requests import MINUTE, Decision, Requests, tick_result

if TYPE_CHECKING:
    from pymongo.database import Database

    from nhm_assets.domain.dagster_internals import AssetCheckExecutionRecord

Document = dict[str, Any]

_INTERVAL_S: Final = 300
_READS_S: Final = 20.0
"""Seconds for all reads of a tick together: it must end within 60 s."""
_EVALUATIONS: Final = 10
"""Newest evaluations per specialist among which its own is looked for."""


@dataclass(frozen=True)
class Cause:
    """Why a specialist should be retrained.

    Attributes:
        key: the same for the same cause, so that it starts one run only.
        sentence: what was seen.
    """

    key: str
    sentence: str


@sensor(
    name=DRIFT_SENSOR,
    job_name=JOB,
    minimum_interval_seconds=_INTERVAL_S,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Retrains a specialist on the current week if one of the five most important features has moved much from what"
        " the served version learned (`features_stable`), or if the served version is below the line"
        " (`serving_on_line`). One run for each cause and week, and none within RETRAINING_COOLDOWN_HOURS of another"
        " full one. Labels alone never start a run."
    ),
)
def drift_sensor(
    context: SensorEvaluationContext, settings: ResourceParam[Settings], mongo: ResourceParam[Mongo]
) -> SensorResult:
    """Decide for every specialist by what the week's drift and the newest evaluations say."""
    import pymongo

    with mongo.database() as database, pymongo.timeout(_READS_S):
        tick = _Tick(context.instance, database, settings, settings.now(), writes=not is_preview(context))
        return tick_result(context, tick.decide(), "nothing has moved much")


@dataclass(frozen=True)
class _Tick:
    """One evaluation, at one moment. A preview writes nothing."""

    instance: DagsterInstance
    database: "Database[Document]"
    settings: Settings
    now: datetime
    writes: bool

    def decide(self) -> list[Decision]:
        """What there is to say about specialists with a cause or a request, and the runs that are due."""
        causes = self._below_line() | self._drifted()
        decisions = []
        newest = newest_triggers(self.database[TRIGGERS], DRIFT)
        for specialist in all_specialists():
            last = self._requests.refresh(newest.get(specialist))
            if last and last.outcome == REQUESTED:
                decisions.append(self._requests.again(last))
            elif cause := causes.get(str(specialist)):
                decisions.append(self._decide(specialist, cause))
        return decisions

    def _weeks(self) -> tuple[str, str]:
        """The running week, and the one before."""
        return running_week(self.now), last_closed_week(self.now)

    def _drifted(self) -> dict[str, Cause]:
        """Specialist -> the much drifted important features of the version that is still in Production."""
        ids = [monitoring_id(str(specialist), week) for specialist in all_specialists() for week in self._weeks()]
        found: dict[str, Cause] = {}
        for document in self.database[DRIFT_MONITORING].find({"_id": {"$in": ids}}).sort("timestamp", 1):
            summary, specialist = document["report_summary"], document["specialist_type"]
            features, version = summary["much_drifted_important_features"], str(summary["model_version"])
            frozen = self._learned_in_full(specialist, version)
            if not features or frozen != self._in_production(specialist, version):
                continue
            psi = ", ".join(f"{name} (PSI {summary['features'][name]:.3f})" for name in features)
            sentence = f"{specialist}: in week {summary['week']}, {psi} moved much from what version {version} learned"
            found[specialist] = Cause(f"{summary['week']}:features:{frozen}", sentence)
        return found

    def _in_production(self, specialist: str, otherwise: str) -> str:
        """The version in Production now, or the one that it corrects; the audit log lacks what others put there."""
        model = recorded_specialist(specialist).registered_model
        return self._learned_in_full(specialist, version_at(self.database[AUDIT_LOG], model, self.now) or otherwise)

    def _learned_in_full(self, specialist: str, version: str) -> str:
        """The version that an increment corrects, or the version itself: what drifts from one drifts from the other."""
        return learned_in_full(self.database[AUDIT_LOG], recorded_specialist(specialist).registered_model, version)

    def _below_line(self) -> dict[str, Cause]:
        """Specialist -> its served version is below the line, by its newest evaluation of these weeks."""
        key = AssetCheckKey(EVALUATION_REPORT, SERVING_ON_LINE)
        limit = _EVALUATIONS * len(all_specialists())
        newest: dict[Specialist, tuple[str, AssetCheckExecutionRecord]] = {}
        history = self.instance.event_log_storage.get_asset_check_execution_history(
            # A queued run has planned its checks.
            key,
            limit=limit,
            status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        )
        for record in history:
            partition = Partition.named(record.evaluation.partition or "") if record.evaluation else None
            # Somebody may have evaluated a week of long ago since.
            if partition and partition.week in self._weeks():
                newest.setdefault(partition.specialist, (partition.week, record))
        return {
            str(name): Cause(
                f"{week}:serving", f"{name}: the served version is below the line ({SERVING_ON_LINE}, {week})"
            )
            for name, (week, record) in newest.items()
            if not has_passed(record) and self._still_serves(name, text_of(record, "version"))
        }

    def _still_serves(self, specialist: Specialist, version: str) -> bool:
        """Whether the version that was judged was not replaced since; earlier releases did not record which it was."""
        serving = version_at(self.database[AUDIT_LOG], specialist.registered_model, self.now)
        return not version or serving in (None, version)

    @cached_property
    def _requests(self) -> Requests:
        triggers = self.database[TRIGGERS]
        return Requests(self.instance, triggers, self.settings, self.now, DRIFT, DRIFT_SENSOR, writes=self.writes)

    def _decide(self, specialist: Specialist, cause: Cause) -> Decision:
        if obstacle := self._obstacle(specialist):
            return Decision(f"{cause.sentence}; {obstacle}")
        partition = Partition(running_week(self.now), specialist)
        days = self.settings.feedback_window_days
        fields = {**new_trigger(DRIFT, partition, window_days=days, requested_at=self.now), "reason": cause.sentence}
        request = self._requests.claimed(drift_trigger_id(specialist, cause.key), partition, fields)
        if request is None:
            return Decision(f"{cause.sentence}; a retraining was requested for that already")
        return Decision(f"{cause.sentence}; retraining on week {partition.week}", request)

    def _obstacle(self, specialist: Specialist) -> str | None:
        """Why there is no run now."""
        if run := run_in_progress(self.instance, specialist):
            return f"run {run.run_id} is in progress"
        for record, at in awaiting_restart(self.instance, self.settings, datetime.now(UTC), specialist):
            return f"run {record.dagster_run.run_id} broke, and is started over at {at:{MINUTE}}"
        # Any other full retraining has just learned what there is to learn; an increment corrects answers only.
        last = newest_trigger(self.database[TRIGGERS], specialist, in_full=True)
        return self._requests.cooling_down(last)
