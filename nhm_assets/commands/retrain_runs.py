"""The runs of `nhm retrain`: one after the other in this process, or several at a time, in processes forked from it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final

from nhm_assets.commands.person import person
from nhm_assets.commands.run_libraries import import_run_libraries
from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import INCREMENT_CONFIG, JOB
from nhm_assets.domain.errors import NhmError, UsageError
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.domain.partitions import Partition, Window, last_closed_week
from nhm_assets.instance.home import dagster_instance
from nhm_assets.registry.audit_log import ACTOR_TAG
from nhm_assets.runs.closed_week import unsettled, why_no_increment
from nhm_assets.runs.failure_cause import retrain_command
from nhm_assets.runs.forked_workers import SUPPORTED, Lost, Tell, Workers, forked_workers
from nhm_assets.runs.in_process import (
    NOT_RUN,
    Retraining,
    in_process_config,
    in_process_tags,
    retrain_partition,
    wait_for_other_run,
)
from nhm_assets.runs.liveness import end_dead_runs, run_of_process
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

RunWorkers = Workers[Partition, Retraining]
_INTERRUPTED: Final = "this command was interrupted before. Run this again"


def processes_and_threads(settings: Settings, partitions: int, *, cores: int) -> tuple[int, int]:
    """How many processes execute the runs, and with how many threads each of them fits: together one per core."""
    processes = min(settings.retrain_processes or cores, partitions) if SUPPORTED else 1
    if processes == 1:
        return 1, settings.training_threads
    return processes, min(settings.training_threads, max(1, cores // processes))


def usable_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if SUPPORTED else 1


class Runs:
    """Executes one run of the retraining job per partition.

    Args:
        settings: of the platform.
        windows: the window of each partition.
        increment: whether they are asked for increments instead of full trainings.
    """

    def __init__(self, settings: Settings, windows: Mapping[Partition, Window], *, increment: bool = False) -> None:
        self._increment = increment
        self._processes, threads = processes_and_threads(settings, len(windows), cores=usable_cores())
        self._settings = settings.model_copy(update={"training_threads": threads})
        self._windows = windows
        self._job = build_definitions(self._settings).resolve_job_def(JOB)

    def workers(self) -> AbstractContextManager[RunWorkers | None]:
        """The processes for the runs, which this one must fork before it opens any service; None if there are none.

        Either way, what runs use is imported.
        """
        import_run_libraries(self._settings)
        if self._processes == 1:
            return nullcontext()
        return forked_workers(self._processes, self._opened)

    @contextmanager
    def _opened(self) -> "Iterator[Callable[[Partition, Tell], Retraining]]":
        with dagster_instance(self._settings) as instance:
            yield partial(self._retrain, instance)

    def results(
        self,
        instance: "DagsterInstance",
        workers: RunWorkers | None,
        *,
        started: Callable[[Partition], None],
        told: Callable[[Partition, str], None],
    ) -> Iterator[Retraining]:
        """Execute all runs. Yields the result of each as it ends.

        Args:
            instance: records the runs.
            workers: see `workers`.
            started: called with the partition of a run that begins.
            told: called with a partition, and with what its run does now.

        Raises:
            ServiceError, NhmError: Runs cannot go on, and no further one is begun. Those that others execute meanwhile
                are yielded before.
        """
        if workers is None:
            for partition in self._windows:
                started(partition)
                yield (ended := self._retrain(instance, partition, partial(told, partition)))
                if ended.interrupted:
                    # Dagster ends the run, and takes the interruption for its end alone.
                    raise NhmError(_INTERRUPTED)
            return
        left, lost = set(self._windows), dict[Partition, Lost]()
        for partition, result in workers.results(list(self._windows), started=started, told=told):
            left.remove(partition)
            if isinstance(result, Lost):
                lost[partition] = result
            else:
                yield result
        # Only now is Dagster asked about them: it may not answer, which must not interrupt the others.
        for partition, one in lost.items():
            yield self._without_process(instance, partition, one)
        if left:
            raise NhmError("every process of this command has died; see the other specialists. Run this again")

    def _retrain(self, instance: "DagsterInstance", partition: Partition, tell: Tell) -> Retraining:
        settings, window = self._settings, self._windows[partition]
        tags = in_process_tags(settings) | {ACTOR_TAG: person(settings, "retrain")}
        config = in_process_config(settings) | (INCREMENT_CONFIG if self._increment else {})
        try:
            wait_for_other_run(instance, partition.specialist, timeout_s=settings.max_run_seconds, progress=tell)
            if self._increment:
                _refuse_too_early(instance, partition, settings)
            return retrain_partition(
                self._job,
                instance,
                partition,
                window,
                storage=settings.storage,
                tags=tags,
                config=config,
                progress=tell,
            )
        except UsageError as error:
            return Retraining(partition, window, NOT_RUN, error=str(error))

    def _without_process(self, instance: "DagsterInstance", partition: Partition, lost: Lost) -> Retraining:
        """The result of a run whose process died."""
        end_dead_runs(instance)
        run_id = run_of_process(instance, partition.key, lost.pid)
        how = f"was killed by signal {lost.signal}" if lost.signal else "was stopped"
        command = retrain_command(partition, increment=self._increment)
        error = (
            f"the process of this run {how}. Run {command} again; if memory ran out, with a smaller RETRAIN_PROCESSES"
        )
        outcome = Outcome.BROKEN if run_id else NOT_RUN
        return Retraining(partition, self._windows[partition], outcome, error=error, run_id=run_id)


def _refuse_too_early(instance: "DagsterInstance", partition: Partition, settings: Settings) -> None:
    """As the sensor, which waits: an increment must not take the place of the weekly retraining.

    Raises:
        UsageError: the closed week is to be retrained in full before.
    """
    now, specialist = settings.now(), partition.specialist
    if partition.week > last_closed_week(now) and unsettled(instance, [specialist], settings, now):
        raise UsageError(why_no_increment(specialist, now))


def interrupted_run(partition: Partition, window: Window, *, begun: bool) -> Retraining:
    """What is said of a partition if this command was interrupted before its run ended. Its process records more."""
    if begun:
        return Retraining(partition, window, Outcome.BROKEN, error="its process was interrupted. Run this again")
    return Retraining(partition, window, NOT_RUN, error=_INTERRUPTED)
