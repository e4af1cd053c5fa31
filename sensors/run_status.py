"""The sensor on ended runs: it records the outcome of every retraining and sends it to the receivers.

The cursor only saves it from reading old runs again. Tags on each run say what is done for it, so a lost cursor
repeats nothing, and what MongoDB or a receiver did not take is tried again at the next tick.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    ResourceParam,
    RunRecord,
    RunsFilter,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from nhm_assets.domain.asset_keys import FEEDBACK_DATASET, TRAINED_MODEL
from nhm_assets.domain.dagster_names import OUTCOME_SENSOR
from nhm_assets.domain.outcomes import BROKEN_BY_TAG, REASON_TAG, TRANSIENT_TAG, Outcome, broken_tags
from nhm_assets.domain.partitions import Partition
from nhm_assets.promotion.production_models import show_production
from nhm_assets.registry.audit_log import AUDIT_LOG, record_broken
from nhm_assets.runs.failure_cause import failure_of
from nhm_assets.runs.notification import message_about, metadata_of
from nhm_assets.runs.queries import end_of, held_as, is_increment, only_measures, outcome_of
from nhm_assets.runs.restarts import restart_at, restarts_of
from nhm_assets.runs.tags import (
    PARTITION_TAG,
    REPORTED_TAG,
    RETRY_NUMBER_TAG,
    ROOT_TAG,
    SPECIALIST_TAG,
    TRIGGER_TAG,
    WILL_RETRY_TAG,
)
from nhm_assets.runs.ticks import is_preview
from nhm_assets.runs.triggers import (
    FEEDBACK_VOLUME,
    OTHER,
    RETRYING,
    TRIGGERS,
    mark_launched,
    new_trigger,
    record_outcome,
)
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mlflow import Mlflow
from resources.mongo import Mongo
from resources.notifiers import Notifier

if TYPE_CHECKING:
    from dagster import DagsterRun
    from pymongo.database import Database

NOTIFIED_TAG: Final = ".dagster/nhm_notified"
"""The run's id, and the names of the receivers that took its message."""

_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_LOOK_BACK: Final = timedelta(days=7)
_OVERLAP: Final = timedelta(minutes=2)
"""Consecutive ticks overlap: the end of one run may become visible after that of a run that ended later."""
_DAGSTER_DECIDES_WITHIN: Final = timedelta(seconds=30)
_RUNS_PER_TICK: Final = 50
_NOTIFY_FOR: Final = timedelta(hours=1)
"""After a run's end. A receiver that is down for longer misses the message."""


@sensor(
    name=OUTCOME_SENSOR,
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Records the outcome of every ended retraining, whoever started it, in `retraining_triggers` (broken runs also"
        " in `model_audit_log`, where the other outcomes already are), sends it to the receivers in NOTIFY_URLS, and"
        " brings `production_models` up to date. It starts no runs."
    ),
)
def retraining_outcome_sensor(
    context: SensorEvaluationContext,
    settings: ResourceParam[Settings],
    mongo: ResourceParam[Mongo],
    mlflow: ResourceParam[Mlflow],
    notifiers: ResourceParam[Sequence[Notifier]],
) -> SensorResult:
    """Report the runs that ended since the last tick."""
    now = datetime.now(UTC)
    since = _start(context.cursor, now)
    records = context.instance.get_run_records(
        RunsFilter(statuses=_ENDED, updated_after=since), order_by="update_timestamp", ascending=True
    )
    # Runs that wait for a receiver come last, so that they delay no other.
    unreported = sorted((record for record in records if _is_unreported(record.dagster_run)), key=_was_sent)
    if is_preview(context):
        return SensorResult(skip_reason=SkipReason(f"outcomes that would be reported: {len(unreported)}"))
    with ExitStack() as stack:
        reporter = _Reporter(context, settings, mongo, notifiers, now, stack)
        waiting = [record for record in unreported[:_RUNS_PER_TICK] if not reporter.report(record)]
        if unreported and not reporter.fault:
            show_production(context.instance, mongo, mlflow, settings, warn=context.log.warning)
    waiting += unreported[_RUNS_PER_TICK:]
    if reporter.fault:
        raise reporter.fault
    summary = f"outcomes reported: {len(unreported) - len(waiting)}, to be tried again: {len(waiting)}"
    return SensorResult(skip_reason=SkipReason(summary), cursor=_next_start(records, waiting, since).isoformat())


def _start(cursor: str | None, now: datetime) -> datetime:
    """The time since which to read runs. A cursor that is missing, unreadable or in the future is ignored."""
    earliest = now - _LOOK_BACK
    try:
        since = datetime.fromisoformat(cursor) if cursor else earliest
    except ValueError:
        return earliest
    return since if since.tzinfo and since <= now else earliest


def _next_start(records: Sequence[RunRecord], waiting: Sequence[RunRecord], since: datetime) -> datetime:
    """The time since which the next tick reads runs: early enough to see every waiting run, but not much earlier."""
    if waiting:
        return min(record.update_timestamp for record in waiting) - _OVERLAP
    return max(since, records[-1].update_timestamp - _OVERLAP) if records else since


def _is_unreported(run: "DagsterRun") -> bool:
    """Whether the run is a retraining that is not completely reported yet."""
    if only_measures(run):
        return False
    return {SPECIALIST_TAG, PARTITION_TAG} <= run.tags.keys() and run.tags.get(REPORTED_TAG) != run.run_id


def _was_sent(record: RunRecord) -> bool:
    """Whether an earlier tick has tried to send the run's outcome."""
    run = record.dagster_run
    return run.tags.get(NOTIFIED_TAG, "").startswith(run.run_id)


@dataclass
class _Reporter:
    """Reports runs one by one; opens the database when the first run needs it.

    A service that is down is tried once per tick, not once per run: a tick must be short.

    Attributes:
        stack: closes the database.
        fault: why runs could not be recorded.
    """

    context: SensorEvaluationContext
    settings: Settings
    mongo: Mongo
    notifiers: Sequence[Notifier]
    now: datetime
    stack: ExitStack
    fault: ServiceError | None = None
    _database: "Database[dict[str, Any]] | None" = None
    _down: set[str] = field(default_factory=set)

    def report(self, record: RunRecord) -> bool:
        """Record and send a run's outcome. Returns True if nothing is left to do for the run."""
        if self._retry_is_undecided(record):
            return False
        run = _with_outcome(self.context.instance, record.dagster_run)
        outcome = outcome_of(run)
        if outcome is None or (outcome is Outcome.REFUSED and not run.tags.get(TRIGGER_TAG)):
            # It materialized a part of the graph, successfully, and decided nothing. Or a person was refused something,
            # and knows it.
            return self._done(run)
        will_retry = run.tags.get(WILL_RETRY_TAG) == "true"
        sent = will_retry or not self._is_news(record, run, outcome) or self._send(record, run)
        recorded = self._record(record, run, RETRYING if will_retry else str(outcome))
        return sent and recorded and self._done(run)

    def _is_news(self, record: RunRecord, run: "DagsterRun", outcome: Outcome) -> bool:
        """Whether the receivers want to know: of an outage once at its beginning, and once if a run is given up."""
        if outcome is Outcome.REFUSED or outcome not in self.settings.notified_outcomes:
            return False
        return not restarts_of(run) or not self._restart_at(record, run)

    def _restart_at(self, record: RunRecord, run: "DagsterRun") -> datetime | None:
        return restart_at(self.context.instance, record._replace(dagster_run=run), self.settings)

    def _retry_is_undecided(self, record: RunRecord) -> bool:
        """Dagster marks a run as failed first, and says in a second write whether it will retry it."""
        run = record.dagster_run
        decides = run.status is DagsterRunStatus.FAILURE and self.context.instance.run_retries_enabled
        return decides and WILL_RETRY_TAG not in run.tags and self.now - end_of(record) < _DAGSTER_DECIDES_WITHIN

    def _done(self, run: "DagsterRun") -> bool:
        self.context.instance.add_run_tags(run.run_id, {REPORTED_TAG: run.run_id})
        return True

    def _send(self, record: RunRecord, run: "DagsterRun") -> bool:
        """Send the run's outcome to receivers that do not have it yet.

        Returns True if all have it now, or if the run ended more than an hour ago.
        """
        run_id, _, names = run.tags.get(NOTIFIED_TAG, "").partition(":")
        taken = set(filter(None, names.split(","))) if run_id == run.run_id else set()
        missing = [notifier for notifier in self.notifiers if notifier.name not in taken]
        if reachable := [notifier for notifier in missing if notifier.name not in self._down]:
            addresses = {"dagster_url": self.settings.dagster_url, "runbook_url": self.settings.runbook_url}
            message = message_about(self.context.instance, run, **addresses)
            notification = replace(message, restart_at=self._restart_at(record, run)).notification()
            answers = {notifier.name: notifier.send(notification) for notifier in reachable}
            self._down |= {name for name, fault in answers.items() if fault}
            taken |= answers.keys() - self._down
            self.context.instance.add_run_tags(run.run_id, {NOTIFIED_TAG: f"{run.run_id}:{','.join(sorted(taken))}"})
            for fault in filter(None, answers.values()):
                self.context.log.warning("run %s: not sent. %s", run.run_id, fault)
        everybody_has_it = taken >= {notifier.name for notifier in missing}
        return everybody_has_it or self.now - end_of(record) > _NOTIFY_FOR

    def _record(self, record: RunRecord, run: "DagsterRun", outcome: str) -> bool:
        """Write the outcome to MongoDB, unless MongoDB has failed in this tick. Returns True if it is written."""
        if self.fault:
            return False
        try:
            self._write(record, run, outcome)
        except ServiceError as error:
            self.fault = error
        return self.fault is None

    def _write(self, record: RunRecord, run: "DagsterRun", outcome: str) -> None:
        if self._database is None:
            self._database = self.stack.enter_context(self.mongo.database())
        partition = Partition.from_key(run.tags[PARTITION_TAG])
        broken, how = outcome_of(run) is Outcome.BROKEN, held_as(run)
        triggers, trigger = self._database[TRIGGERS], _trigger_of(run)
        result = {
            "outcome": outcome,
            "run_id": run.run_id,
            "reason": run.tags.get(REASON_TAG, ""),
            "held_as": str(how) if how else None,
            "broken_by": run.tags[BROKEN_BY_TAG] if broken else None,
            "transient": broken and run.tags.get(TRANSIENT_TAG) == "true",
            "finished_at": self.settings.now(),
            **_results(self.context.instance, run, trigger),
        }
        origin = new_trigger(
            OTHER,
            partition,
            window_days=self.settings.feedback_window_days,
            requested_at=record.create_timestamp,
            increment=is_increment(run),
        )
        # The run may have ended before whoever requested it recorded that it exists.
        mark_launched(triggers, trigger, run.run_id, record.create_timestamp)
        record_outcome(triggers, trigger, origin, result)
        if broken:
            record_broken(self._database[AUDIT_LOG], partition, run=run, now=self.settings.now())


def _results(instance: DagsterInstance, run: "DagsterRun", trigger: str) -> dict[str, Any]:
    """What other programs want to know of a run: how much feedback it read, and its MLflow run."""
    mlflow_run = metadata_of(instance, run, TRAINED_MODEL, "mlflow_run_id")
    rows = metadata_of(instance, run, FEEDBACK_DATASET, "real_rows")
    # The sensor has counted the feedback that is new.
    counted = {} if rows is None or trigger.startswith(FEEDBACK_VOLUME) else {"feedback_count": rows}
    return {"metadata.mlflow_run_id": mlflow_run, **counted}


def _trigger_of(run: "DagsterRun") -> str:
    root = run.root_run_id or run.tags.get(ROOT_TAG, run.run_id)
    first = root if RETRY_NUMBER_TAG in run.tags else run.run_id
    return run.tags.get(TRIGGER_TAG) or f"run:{first}"


def _with_outcome(instance: DagsterInstance, run: "DagsterRun") -> "DagsterRun":
    """The run, tagged as broken or refused if it ended without success."""
    if outcome_of(run) not in (Outcome.BROKEN, Outcome.REFUSED):
        return run
    failure = failure_of(instance, run)
    tags = broken_tags(failure.by, failure.reason, transient=failure.transient)
    instance.add_run_tags(run.run_id, tags)
    return run.with_tags({**run.tags, **tags})
