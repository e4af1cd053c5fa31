"""How the specialists' newest runs ended, kept up to date at a cost that does not depend on how many runs there are.

The first refresh reads the newest runs of every specialist. Later ones read only what has changed since.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.links import run_link
from nhm_assets.domain.outcomes import BELOW_IN_A_ROW_TAG, Outcome
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.monitoring import field_metrics, own_metrics
from nhm_assets.monitoring.metric import Distribution, Readings
from nhm_assets.runs.queries import end_of, is_whole, only_measures, outcome_of
from nhm_assets.runs.restarts import restart_at
from nhm_assets.runs.tags import PARTITION_TAG, SPECIALIST_TAG, WILL_RETRY_TAG

if TYPE_CHECKING:
    from dagster import RunRecord

    from nhm_assets.settings import Settings

_ENDED: Final = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
_ABOUT_CANDIDATES: Final = (Outcome.PROMOTED, Outcome.HELD)
"""Of new candidates. Others are superseded or unchanged, as `below_in_a_row` of the audit log leaves them out, too."""
_KEPT: Final = 20
"""Newest ended runs of a specialist that are remembered."""
_OVERLAP: Final = timedelta(minutes=2)
"""Changes of this long before the last refresh are read again: the clocks of machines differ."""
_CHANGES: Final = 1000
"""Runs per refresh. More than that wait for the next one."""
_COUNTED: Final = 10_000
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_RESTARTS_WITHIN: Final = timedelta(minutes=10)
"""A run that should have been started over this long ago, and was not, is not going to be."""
DURATION_BOUNDS: Final = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
FIELD_DURATION_BOUNDS: Final = (60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0)


@dataclass(frozen=True)
class EndedRun:
    """A run that decided something, broke or was refused."""

    record: "RunRecord"
    outcome: Outcome
    end: datetime

    @property
    def seconds(self) -> float | None:
        """From start to end; None if no process ever started it."""
        start = self.record.start_time
        return max(0.0, self.end.timestamp() - start) if start else None


@dataclass
class RunHistory:
    """The newest ended runs, and counters of those that ended since this object was made."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _read_until: datetime | None = None
    _behind: bool = False
    _newest: dict[str, list[EndedRun]] = field(default_factory=lambda: {name: [] for name in all_specialists()})
    _requested: dict[str, datetime] = field(default_factory=dict)
    _counted: dict[str, None] = field(default_factory=dict)
    _ended: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    _durations: dict[str, Distribution] = field(
        default_factory=lambda: {name: Distribution.empty(DURATION_BOUNDS) for name in all_specialists()}
    )
    _all_durations: Distribution = field(default_factory=lambda: Distribution.empty(FIELD_DURATION_BOUNDS))

    def update(self, instance: DagsterInstance) -> None:
        """Read the runs that have changed."""
        if self._read_until is None:
            started = datetime.now(UTC)
            for specialist in all_specialists():
                own = RunsFilter(tags={SPECIALIST_TAG: specialist}, statuses=_ENDED)
                for record in instance.get_run_records(own, limit=_KEPT):
                    self._take(record)
            self._read_until = started
            return
        # After so many changes that one refresh did not read them all, those already read are not read again.
        since = self._read_until - (timedelta() if self._behind else _OVERLAP)
        changed = RunsFilter(statuses=_ENDED, updated_after=since)
        records = instance.get_run_records(changed, limit=_CHANGES, order_by="update_timestamp", ascending=True)
        for record in records:
            self._take(record)
        self._behind = len(records) == _CHANGES
        if records:
            self._read_until = max(self._read_until, records[-1].update_timestamp)

    def _take(self, record: "RunRecord") -> None:
        run = record.dagster_run
        specialist, outcome = run.tags.get(SPECIALIST_TAG), outcome_of(run)
        if specialist not in self._newest or PARTITION_TAG not in run.tags or only_measures(run):
            return
        if is_whole(run):
            self._requested[specialist] = max(record.create_timestamp, self._requested.get(specialist, _LONG_AGO))
        if outcome is None:
            return
        ended = EndedRun(record, outcome, end_of(record))
        self._count(specialist, ended)
        others = [one for one in self._newest[specialist] if one.record.dagster_run.run_id != run.run_id]
        self._newest[specialist] = sorted([*others, ended], key=lambda one: one.end, reverse=True)[:_KEPT]

    def _count(self, specialist: str, ended: EndedRun) -> None:
        run_id = ended.record.dagster_run.run_id
        if run_id in self._counted or ended.end < self.since:
            return
        self._counted[run_id] = None
        if len(self._counted) > _COUNTED:
            self._counted.pop(next(iter(self._counted)))
        self._ended[specialist, ended.outcome] += 1
        if ended.seconds is not None:
            self._durations[specialist] = self._durations[specialist].plus(ended.seconds)
            self._all_durations = self._all_durations.plus(ended.seconds)

    def newest(self, specialist: str) -> EndedRun | None:
        """The newest run of a specialist that decided something or broke."""
        return next(iter(self._counting(specialist)), None)

    def _counting(self, specialist: str) -> list[EndedRun]:
        """Without the runs in which a person was refused something: they say nothing about the specialist."""
        return [one for one in self._newest[specialist] if one.outcome is not Outcome.REFUSED]

    def put(self, readings: Readings, instance: DagsterInstance, settings: "Settings", busy: set[str]) -> None:
        """Add the series of every specialist. `busy` are those with a run that has not ended."""
        for specialist in all_specialists():
            self._put_counters(readings, specialist)
            readings.put(field_metrics.LAST_TRIGGER, _seconds(self._requested.get(specialist)), specialist)
            runs = self._counting(specialist)
            for outcome in Outcome:
                ends = [run.end.timestamp() for run in self._newest[specialist] if run.outcome is outcome]
                readings.put(own_metrics.OUTCOME_TIME, max(ends, default=None), specialist, outcome)
            decided = [run.end.timestamp() for run in runs if run.outcome is not Outcome.BROKEN]
            readings.put(field_metrics.LAST_SUCCESS, max(decided, default=None), specialist)
            if not runs:
                continue
            run_id = runs[0].record.dagster_run.run_id
            readings.put(own_metrics.NEWEST_RUN, 1.0, specialist, run_id, run_link(settings.dagster_url, run_id))
            readings.put_state(own_metrics.LAST_OUTCOME, runs[0].outcome, list(Outcome), specialist)
            broken = next((number for number, run in enumerate(runs) if run.outcome is not Outcome.BROKEN), len(runs))
            readings.put(own_metrics.CONSECUTIVE_BROKEN, broken, specialist)
            readings.put(own_metrics.BELOW_IN_A_ROW, _below_in_a_row(runs), specialist)
            pending = specialist in busy or _is_retried(instance, settings, runs[0])
            readings.put(own_metrics.RETRY_PENDING, float(runs[0].outcome is Outcome.BROKEN and pending), specialist)
        readings.put(field_metrics.DURATION, self._all_durations)

    def _put_counters(self, readings: Readings, specialist: str) -> None:
        counts = {outcome: self._ended[specialist, outcome] for outcome in Outcome}
        readings.put_counts(
            own_metrics.RUNS_ENDED, {str(outcome): count for outcome, count in counts.items()}, specialist
        )
        failed = counts[Outcome.BROKEN]
        success = sum(counts.values()) - failed - counts[Outcome.REFUSED]
        readings.put_counts(field_metrics.TRIGGERS, {"success": success, "failed": failed}, specialist)
        readings.put(own_metrics.RUN_DURATION, self._durations[specialist], specialist)


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _below_in_a_row(newest_first: list[EndedRun]) -> int | None:
    """As the newest run with a new candidate says; None if there is no such run among the newest ones."""
    tags = [run.record.dagster_run.tags for run in newest_first if run.outcome in _ABOUT_CANDIDATES]
    newest = tags[0] if tags else None
    return None if newest is None else int(newest.get(BELOW_IN_A_ROW_TAG) or 0)


def _is_retried(instance: DagsterInstance, settings: "Settings", run: EndedRun) -> bool:
    """Whether a run that broke is retried by Dagster, or started over because a service was down."""
    if run.outcome is not Outcome.BROKEN:
        return False
    if run.record.dagster_run.tags.get(WILL_RETRY_TAG) == "true":
        return True
    at = restart_at(instance, run.record, settings)
    return at is not None and datetime.now(UTC) < at + _RESTARTS_WITHIN
