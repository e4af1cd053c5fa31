"""What Dagster's instance says: runs, datasets, reports, daemons, schedules and sensors."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from nhm_assets.domain.links import run_link
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.materializations import Materializations
from nhm_assets.monitoring.metric import Readings, Source
from nhm_assets.monitoring.refresh import RefreshedSource
from nhm_assets.monitoring.run_history import RunHistory
from nhm_assets.monitoring.ticks import put_code_location, put_heartbeats, put_ticks
from nhm_assets.runs.datasets import learned_until
from nhm_assets.runs.queries import IN_PROGRESS
from nhm_assets.runs.tags import SPECIALIST_TAG
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import RunRecord

_MOST_RUNS: Final = 2000
"""Runs in progress that are read. A longer queue shows this number."""


def refreshed_dagster(settings: Settings, open_instance: Callable[[], DagsterInstance]) -> RefreshedSource:
    """Dagster as a source of the exporter; its first refresh opens the instance."""
    source = DagsterSource(open_instance, settings)
    return RefreshedSource(Source.DAGSTER, source.refresh, every_s=settings.exporter_refresh_s)


class DagsterSource:
    """Reads Dagster's instance. What was read before is remembered, so a refresh reads only what is new."""

    def __init__(self, open_instance: Callable[[], DagsterInstance], settings: Settings) -> None:
        """`open_instance` is called by the first refresh that succeeds: the database may be down at the start."""
        self._open_instance = open_instance
        self._settings = settings
        self._history = RunHistory()
        self._made = Materializations()
        self._learned: dict[str, tuple[object, float | None]] = {}

    @cached_property
    def _instance(self) -> DagsterInstance:
        return self._open_instance()

    def refresh(self) -> Readings:
        """The values now. Raises whatever the library of the database raises."""
        readings = Readings()
        self._history.update(self._instance)
        self._made.update(self._instance)
        unfinished = self._instance.get_run_records(RunsFilter(statuses=IN_PROGRESS), limit=_MOST_RUNS)
        _put_unfinished(readings, unfinished, self._settings.dagster_url)
        busy = {record.dagster_run.tags.get(SPECIALIST_TAG, "") for record in unfinished}
        self._history.put(readings, self._instance, self._settings, busy)
        self._made.put(readings, self._settings.dagster_url)
        for specialist in all_specialists():
            readings.put(own_metrics.LEARNED_UNTIL, self._learned_until(specialist), specialist)
        put_heartbeats(readings, self._instance)
        put_ticks(readings, self._instance)
        put_code_location(readings)
        return readings

    def _learned_until(self, specialist: Specialist) -> float | None:
        """Asked again only when a dataset or an ended run is new: the question reads every week of the specialist."""
        dataset, run = self._made.datasets.record(specialist), self._history.newest(specialist)
        state = (dataset and dataset.storage_id, run and (run.record.dagster_run.run_id, run.outcome))
        known, end = self._learned.get(specialist, (None, None))
        if known != state or specialist not in self._learned:
            until = learned_until(self._instance, specialist)
            end = until.timestamp() if until else None
            self._learned[specialist] = (state, end)
        return end


def _put_unfinished(readings: Readings, records: "Sequence[RunRecord]", dagster_url: str) -> None:
    statuses = [record.dagster_run.status for record in records]
    readings.put_counts(own_metrics.RUNS, {status.value.lower(): statuses.count(status) for status in IN_PROGRESS})
    queued = [record for record in records if record.dagster_run.status is DagsterRunStatus.QUEUED]
    waiting_since = min((record.create_timestamp.timestamp() for record in queued), default=None)
    readings.put(own_metrics.OLDEST_QUEUED, waiting_since)
    oldest: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda record: record.start_time or 0, reverse=True):
        specialist = record.dagster_run.tags.get(SPECIALIST_TAG)
        if specialist and record.start_time:
            oldest[specialist] = record
    for specialist, record in oldest.items():
        run_id = record.dagster_run.run_id
        readings.put(own_metrics.RUN_START, record.start_time, specialist)
        readings.put(own_metrics.RUN_IN_PROGRESS, 1.0, specialist, run_id, run_link(dagster_url, run_id))
