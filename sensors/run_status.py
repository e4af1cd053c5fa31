"""The sensor on ended runs: every retraining's outcome is written down, and handed to whoever wants to know.

Its cursor only saves it from looking at old runs again. What is done for a run stands in the run's own tags, so
a lost cursor repeats nothing, and what MongoDB or a notifier could not take is tried again at the next tick.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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

from nhm_assets.domain.dagster_names import OUTCOME_SENSOR
from nhm_assets.domain.outcomes import BROKEN_BY_TAG, REASON_TAG, Outcome, broken_tags
from nhm_assets.domain.partitions import Partition
from nhm_assets.registry.audit_log import AUDIT_LOG, record_broken
from nhm_assets.runs.failure_cause import Failure, failure_of
from nhm_assets.runs.notification import message_about
from nhm_assets.runs.queries import (
    PARTITION_TAG,
    REPORTED_TAG,
    RETRY_NUMBER_TAG,
    ROOT_TAG,
    SPECIALIST_TAG,
    TRIGGER_TAG,
    WILL_RETRY_TAG,
    outcome_of,
)
from nhm_assets.runs.triggers import OTHER, RETRYING, TRIGGERS, note_launched, note_outcome
from nhm_assets.settings import Settings
from resources.errors import ServiceError
from resources.mongo import Mongo
from resources.notifiers import Notifier, notify

if TYPE_CHECKING:
    from dagster import DagsterRun
    from pymongo.database import Database

NOTIFIED_TAG: Final = "nhm/notified"
"""The run's id, and the names of the notifiers that took the message."""

_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_LOOK_BACK: Final = timedelta(days=7)
_OVERLAP: Final = timedelta(minutes=2)
"""Of two ticks: a run's end may become visible later than that of a run which ended after it."""
_DECIDES_WITHIN: Final = timedelta(seconds=30)
_RUNS_A_TICK: Final = 50
_TELL_FOR: Final = timedelta(hours=1)
"""After a run's end; a notifier that is down for longer is passed over."""


@sensor(
    name=OUTCOME_SENSOR,
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description=(
        "Writes the outcome of every ended retraining, whatever started it, to `retraining_triggers` (and broken ones"
        " to `model_audit_log`, where the others stand already) and hands it to the configured notifiers: Slack, mail,"
        " webhook. It starts no runs."
    ),
)
def retraining_outcome_sensor(
    context: SensorEvaluationContext,
    settings: ResourceParam[Settings],
    mongo: ResourceParam[Mongo],
    notifiers: ResourceParam[Sequence[Notifier]],
) -> SensorResult:
    """Report the runs that ended since the last tick."""
    now = datetime.now(UTC)
    since = _since(context.cursor, now)
    records = context.instance.get_run_records(
        RunsFilter(statuses=_ENDED, updated_after=since), order_by="update_timestamp", ascending=True
    )
    # Those that wait for a notifier come last: they hold no other up.
    fresh = sorted((one for one in records if _is_unreported_retraining(one.dagster_run)), key=_was_told_of)
    with _Reporter(context, settings, mongo, notifiers, now) as reporter:
        waiting = [one for one in fresh[:_RUNS_A_TICK] if not reporter.report(one)] + fresh[_RUNS_A_TICK:]
    reached = _reached(records, waiting, since)
    told = SkipReason(f"{len(fresh) - len(waiting)} outcomes reported, {len(waiting)} to be tried again")
    if reporter.fault:
        raise reporter.fault
    return SensorResult(skip_reason=told, cursor=reached.isoformat())


def _since(cursor: str | None, now: datetime) -> datetime:
    first = now - _LOOK_BACK
    try:
        since = datetime.fromisoformat(cursor) if cursor else first
    except ValueError:
        return first
    return since if since.tzinfo and since <= now else first


def _reached(records: Sequence[RunRecord], waiting: Sequence[RunRecord], since: datetime) -> datetime:
    """From where the next tick looks: nothing that waits, and little else, is behind it."""
    if waiting:
        return min(one.update_timestamp for one in waiting) - _OVERLAP
    return max(since, records[-1].update_timestamp - _OVERLAP) if records else since


def _is_unreported_retraining(run: "DagsterRun") -> bool:
    return {SPECIALIST_TAG, PARTITION_TAG} <= run.tags.keys() and run.tags.get(REPORTED_TAG) != run.run_id


def _was_told_of(record: RunRecord) -> bool:
    run = record.dagster_run
    return run.tags.get(NOTIFIED_TAG, "").startswith(run.run_id)


@dataclass
class _Reporter:
    """Reports runs one by one; the database is opened when the first of them needs it.

    What was away for one run is not waited for again for the next: the time of a tick is short.

    Attributes:
        fault: what kept runs from being written down.
    """

    context: SensorEvaluationContext
    settings: Settings
    mongo: Mongo
    notifiers: Sequence[Notifier]
    now: datetime
    fault: ServiceError | None = None

    def __enter__(self) -> "_Reporter":
        self._open = ExitStack()
        self._database: Database[dict[str, Any]] | None = None
        self._down: set[str] = set()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._open.__exit__(*raised)

    @property
    def _instance(self) -> DagsterInstance:
        return self.context.instance

    def report(self, record: RunRecord) -> bool:
        """Whether everything that there is to do for a run is done."""
        if self._may_yet_be_retried(record):
            return False
        run = _with_outcome(self._instance, record.dagster_run)
        outcome = outcome_of(run)
        if outcome is None:
            # It materialized a part of the graph, successfully, and decided nothing.
            return self._done(run)
        retried = run.tags.get(WILL_RETRY_TAG) == "true"
        told = retried or outcome not in self.settings.notified_outcomes or self._notify(record, run)
        written = self._written_down(record, run, RETRYING if retried else str(outcome))
        return told and written and self._done(run)

    def _may_yet_be_retried(self, record: RunRecord) -> bool:
        """Whether Dagster has said that a run failed, and not yet whether it will start it over: two writes."""
        run = record.dagster_run
        decides = run.status is DagsterRunStatus.FAILURE and self._instance.run_retries_enabled
        return decides and WILL_RETRY_TAG not in run.tags and self.now - _end_of(record) < _DECIDES_WITHIN

    def _done(self, run: "DagsterRun") -> bool:
        self._instance.add_run_tags(run.run_id, {REPORTED_TAG: run.run_id})
        return True

    def _notify(self, record: RunRecord, run: "DagsterRun") -> bool:
        """Whether nobody is left to be told."""
        run_id, _, names = run.tags.get(NOTIFIED_TAG, "").partition(":")
        took = set(filter(None, names.split(","))) if run_id == run.run_id else set()
        left = [one for one in self.notifiers if one.name not in took]
        if asked := [one for one in left if one.name not in self._down]:
            message = message_about(self._instance, run, self.settings.dagster_url)
            answers = notify(asked, message.subject, message.text, message.as_json())
            self._down |= {name for name, fault in answers.items() if fault}
            took |= answers.keys() - self._down
            self._instance.add_run_tags(run.run_id, {NOTIFIED_TAG: f"{run.run_id}:{','.join(sorted(took))}"})
            for fault in filter(None, answers.values()):
                self.context.log.warning("not told of run %s: %s", run.run_id, fault)
        return took >= {one.name for one in left} or self._too_late(record)

    def _too_late(self, record: RunRecord) -> bool:
        return self.now - _end_of(record) > _TELL_FOR

    def _written_down(self, record: RunRecord, run: "DagsterRun", status: str) -> bool:
        if self.fault:
            return False
        try:
            self._write_down(record, run, status)
        except ServiceError as error:
            self.fault = error
        return self.fault is None

    def _write_down(self, record: RunRecord, run: "DagsterRun", status: str) -> None:
        if self._database is None:
            self._database = self._open.enter_context(self.mongo.database())
        partition = Partition.from_key(run.tags[PARTITION_TAG])
        broken = outcome_of(run) is Outcome.BROKEN
        result = {
            "status": status,
            "run_id": run.run_id,
            "reason": run.tags.get(REASON_TAG, ""),
            "broken_by": run.tags[BROKEN_BY_TAG] if broken else None,
            "finished_at": self.settings.now(),
        }
        origin = {
            "kind": OTHER,
            "number": 0,
            "specialist": str(partition.specialist),
            "week": partition.week,
            "requested_at": record.create_timestamp,
        }
        triggers, trigger = self._database[TRIGGERS], _trigger_of(run)
        # It may have ended before whoever asked for it has noted that it exists.
        note_launched(triggers, trigger, run.run_id, record.create_timestamp)
        note_outcome(triggers, trigger, origin, result)
        if broken:
            record_broken(self._database[AUDIT_LOG], partition, run=run, now=self.settings.now())


def _end_of(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _trigger_of(run: "DagsterRun") -> str:
    root = run.root_run_id or run.tags.get(ROOT_TAG, run.run_id)
    first = root if RETRY_NUMBER_TAG in run.tags else run.run_id
    return run.tags.get(TRIGGER_TAG) or f"run:{first}"


def _with_outcome(instance: DagsterInstance, run: "DagsterRun") -> "DagsterRun":
    """The run, tagged as broken where it ended before it came to anything else."""
    if outcome_of(run) is not Outcome.BROKEN:
        return run
    failure: Failure = failure_of(instance, run)
    tags = broken_tags(failure.by, failure.reason)
    instance.add_run_tags(run.run_id, tags)
    return run.with_tags({**run.tags, **tags})
