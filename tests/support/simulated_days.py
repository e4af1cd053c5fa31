"""Simulated days of a daemon: Dagster's own schedule and sensor loops, evaluated every few hours of a set clock."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from nhm_assets.domain.outcomes import OUTCOME_TAG
from nhm_assets.domain.partitions import Partition
from tests.support.dagster_internals import (
    InProcessCodeLocationOrigin,
    InProcessWorkspaceLoadTarget,
    InstigatorTick,
    LoadableTargetOrigin,
    WorkspaceProcessContext,
    create_test_daemon_workspace_context,
    execute_sensor_iteration,
    freeze_time,
    launch_scheduled_runs,
)
from tests.support.retrainings import end_run, put_dataset, put_run

_LOCATION = InProcessCodeLocationOrigin(
    LoadableTargetOrigin(module_name="tests.support.replayed", attribute="defs"), location_name="replayed"
)
_QUIET = logging.getLogger("simulated_daemon")
_QUIET.setLevel(logging.CRITICAL)

STEP = timedelta(hours=4)
"""The time between two evaluations. If the first is at 02:00, one of them is when the weekly schedule is due."""


@dataclass(frozen=True)
class Fate:
    """How a run ends: how long it takes, and whether it breaks before it has a dataset."""

    takes: timedelta = timedelta(0)
    breaks: bool = False


@dataclass
class Days:
    """A daemon with a set clock, and the runs that it launches.

    Attributes:
        fate_of: how a run of this specialist ends that starts at this time.
    """

    instance: DagsterInstance
    workspace: WorkspaceProcessContext
    environment: pytest.MonkeyPatch
    fate_of: Callable[[str, datetime], Fate]
    _working: list[tuple[datetime, DagsterRun, Fate]] = field(default_factory=list)

    def advance(self, start: datetime, end: datetime) -> None:
        """Evaluate schedule and sensor every `STEP` from start until just before end."""
        now = start
        while now < end:
            self.environment.setenv("NHM_NOW", now.isoformat())
            with freeze_time(now):
                self._end_runs(now)
                for _ in launch_scheduled_runs(self.workspace, _QUIET, now, {}):
                    """It yields heartbeats and errors; the errors are recorded in the ticks."""
                for _ in execute_sensor_iteration(self.workspace, _QUIET, None, None):
                    """The same."""
                self._start_runs(now)
                self._end_runs(now)
            now += STEP

    def retrain_by_hand(self, partition: Partition, now: datetime) -> None:
        """A run that a person starts from the UI, and that promotes its candidate."""
        with freeze_time(now):
            put_dataset(self.instance, partition, min(partition.week_end, now))
            put_run(self.instance, partition, tags={OUTCOME_TAG: "promoted"})

    def ticks(self) -> list[InstigatorTick]:
        """The ticks of all evaluations."""
        states = self.instance.all_instigator_state()
        return [
            tick for state in states for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        ]

    def _start_runs(self, now: datetime) -> None:
        for run in self.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED])):
            partition = Partition.from_key(run.tags["dagster/partition"])
            fate = self.fate_of(str(partition.specialist), now)
            if not fate.breaks:
                put_dataset(self.instance, partition, min(partition.week_end, now))
            end_run(self.instance, run.run_id, DagsterEventType.RUN_START)
            self._working.append((now + fate.takes, run, fate))

    def _end_runs(self, now: datetime) -> None:
        for entry in [entry for entry in self._working if entry[0] <= now]:
            self._working.remove(entry)
            _, run, fate = entry
            self.instance.add_run_tags(run.run_id, {OUTCOME_TAG: "broken" if fate.breaks else "promoted"})
            end = DagsterEventType.RUN_FAILURE if fate.breaks else DagsterEventType.RUN_SUCCESS
            end_run(self.instance, run.run_id, end)


@contextmanager
def simulated_daemon(
    instance: DagsterInstance, environment: pytest.MonkeyPatch, fate_of: Callable[[str, datetime], Fate]
) -> Iterator[Days]:
    """A daemon without its process. It finds MongoDB through the environment, as a real one does."""
    target = InProcessWorkspaceLoadTarget(_LOCATION)
    with create_test_daemon_workspace_context(target, instance) as workspace:
        yield Days(instance, workspace, environment, fate_of)
