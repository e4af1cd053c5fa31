"""Runs the retraining job for a partition in this process, and describes the result."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import DagsterInstance, ExecuteInProcessResult, JobDefinition

from nhm_assets.domain.asset_keys import TRAINED_MODEL
from nhm_assets.domain.dagster_internals import execute_and_keep_nothing, make_new_run_id
from nhm_assets.domain.dagster_names import CODE_LOCATION
from nhm_assets.domain.dataset_schema import SPLITS, counts
from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.outcomes import HELD_BY_TAG, OUTCOME_TAG, REASON_TAG, BrokenBy, Outcome, broken_tags
from nhm_assets.domain.partitions import Partition, Window
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.failure_cause import failure_of
from nhm_assets.runs.liveness import executing_run, this_process
from nhm_assets.runs.queries import held_as, is_unexplained
from nhm_assets.runs.stored_results import StoredResults
from nhm_assets.runs.tags import POD_TAG, PROCESS_TAG
from nhm_assets.settings import Settings
from resources.errors import StorageError

if TYPE_CHECKING:
    from dagster import DagsterEvent

    from resources.stored_frames import StoredFrame

Progress = Callable[[str], None]

NOT_RUN: Final = "not run"
"""Stands for the outcome of a partition that was never tried."""

_POLL_S = 2.0
_REPOSITORY_TAG = ".dagster/repository"


def in_process_config(settings: Settings) -> dict[str, Any]:
    """Run config of a job that a command runs itself.

    The command reports, so Dagster's log stays off the terminal. A log store (LOG_FORMAT=json) gets it.
    """
    level = "INFO" if settings.log_format == "json" else "CRITICAL"
    return {"loggers": {"console": {"config": {"log_level": level}}}}


@dataclass(frozen=True)
class Retraining:
    """The result of one partition's run. Results of steps that did not run are None.

    Attributes:
        outcome: of the run, or `NOT_RUN`.
        held_by: names of the failed gate checks.
        held_as: `below` or `uncertain` if the candidate is held; None otherwise.
        window: of the dataset; if the run broke before it read one, the partition's.
        dataset: what the report says about it.
        synthetic: whether the model learned from synthetic rows.
        error: what broke, refused or prevented the run and what to do; None if nothing did.
        seconds: wall time of the run.
        reason: explains the outcome in one sentence.
        increment: of a run that was asked for an increment: how its version did, or why it was trained in full.
        interrupted: whether the run was ended from outside, such as by Ctrl-C.
    """

    partition: Partition
    window: Window
    outcome: str
    held_by: tuple[str, ...] = ()
    dataset: dict[str, Any] | None = None
    synthetic: bool = False
    trained: TrainedModel | None = None
    report: EvaluationReport | None = None
    error: str | None = None
    run_id: str | None = None
    seconds: float = 0.0
    reason: str = ""
    held_as: str | None = None
    increment: str = ""
    interrupted: bool = False


def retrain_partition(
    job: JobDefinition,
    instance: DagsterInstance,
    partition: Partition,
    window: Window,
    *,
    storage: str,
    tags: Mapping[str, str],
    config: Mapping[str, Any],
    progress: Progress,
) -> Retraining:
    """Run the job for one partition and wait until it ends.

    Args:
        job: `specialist_retraining`.
        instance: records the run.
        partition: what to retrain.
        window: the partition's window, for the result of a run that breaks before it reads the window.
        storage: where the run stores what it makes (NHM_STORAGE).
        tags: tags of the run: which process executes it, and who started it.
        config: run config, as `in_process_config` gives it.
        progress: called with the name of each step as it starts.
    """
    started = time.monotonic()
    run_id = make_new_run_id()
    instance.add_event_listener(run_id, lambda entry: _announce(entry.dagster_event, progress))
    result = execute_and_keep_nothing(
        job, instance, partition_key=partition.key, run_id=run_id, run_config=dict(config), tags=dict(tags)
    )
    seconds = time.monotonic() - started
    return _describe(result, instance, Retraining(partition, window, NOT_RUN, seconds=seconds), storage)


def wait_for_other_run(
    instance: DagsterInstance, specialist: Specialist, *, timeout_s: float, progress: Progress
) -> None:
    """Wait while another run of this specialist is in progress: both would write the same dataset.

    It does not wait for queued runs: they wait for this run once it has started.

    Raises:
        UsageError: the other run does not end in time.
    """
    deadline = time.monotonic() + timeout_s
    while other := executing_run(instance, specialist):
        if time.monotonic() > deadline:
            raise UsageError(
                f"another run of {specialist} ({other.run_id}) did not end within {timeout_s:.0f} s (MAX_RUN_SECONDS)."
                " Terminate it in Dagster's UI, then run this again."
            )
        progress(f"waiting for run {other.run_id}")
        time.sleep(_POLL_S)


def in_process_tags(settings: Settings) -> dict[str, str]:
    """Tags of a run that this process executes itself."""
    pod = f"{settings.pod_namespace}/{settings.pod_name}" if settings.pod_namespace and settings.pod_name else None
    in_pod = {POD_TAG: pod} if pod else {}
    # With the repository tag, the UI lists the run on the page of its job.
    return {PROCESS_TAG: this_process(), **in_pod, _REPOSITORY_TAG: f"__repository__@{CODE_LOCATION}"}


def _announce(event: "DagsterEvent | None", progress: Progress) -> None:
    if event is not None and event.is_step_start and event.step_key:
        progress(event.step_key)


def _describe(result: ExecuteInProcessResult, instance: DagsterInstance, tried: Retraining, storage: str) -> Retraining:
    run = instance.get_run_by_id(result.run_id)
    tags = run.tags if run else {}
    failure = failure_of(instance, run) if run and not result.success else None
    if run and failure and is_unexplained(run):
        # No hook is called for a step that was interrupted.
        instance.add_run_tags(result.run_id, broken_tags(failure.by, failure.reason, transient=failure.transient))
    undecided = Outcome.REFUSED if failure and failure.by is BrokenBy.REFUSED else Outcome.BROKEN
    outcome = Outcome(tags.get(OUTCOME_TAG) or undecided) if result.success else undecided
    held_by = tags.get(HELD_BY_TAG, "")
    how = held_as(run) if run else None
    ended = replace(
        tried,
        outcome=outcome,
        held_by=tuple(held_by.split(",")) if held_by else (),
        error=failure.reason if failure else None,
        run_id=result.run_id,
        reason=failure.reason if failure else tags.get(REASON_TAG, ""),
        interrupted=failure is not None and failure.by is BrokenBy.KILLED,
        held_as=str(how) if how else None,
        increment=_about_increment(result),
    )
    try:
        return _with_what_it_stored(ended, StoredResults(result, storage))
    except StorageError as error:
        return replace(ended, error=ended.error or str(error))


def _with_what_it_stored(ended: Retraining, stored: StoredResults) -> Retraining:
    frame = stored.dataset()
    if frame is not None:
        ended = replace(
            ended,
            window=Window(*map(datetime.fromisoformat, frame.attrs["window"])),
            dataset=_dataset(frame, stored.data_version()),
            synthetic=bool(frame.attrs["synthetic_rows"]),
        )
    return replace(ended, trained=stored.trained(), report=stored.report())


def _about_increment(result: ExecuteInProcessResult) -> str:
    for event in result.get_asset_materialization_events():
        if event.asset_key == TRAINED_MODEL and (shown := event.materialization.metadata.get("increment")):
            return str(shown.value)
    return ""


def as_json(result: Retraining, stage: str | None) -> dict[str, Any]:
    """The entry of one partition in the file that `nhm retrain --report` writes.

    Args:
        result: the result of the partition's run.
        stage: the current stage of its model version in the registry.
    """
    trained, report, window = result.trained, result.report, result.window
    champion = report.champion if report else None
    return {
        "specialist": str(result.partition.specialist),
        "week": result.partition.week,
        "window": [window.start.isoformat(), window.end.isoformat()],
        "dataset": result.dataset,
        "metrics": _headline(report.candidate) if report else None,
        "champion": {"version": champion.version, **_headline(champion.metrics)} if champion else None,
        "outcome": str(result.outcome),
        "held_by": list(result.held_by),
        "held_as": result.held_as,
        "error": result.error,
        "model": {
            "name": result.partition.specialist.registered_model,
            "version": trained.version if trained else None,
            "stage": stage,
        },
        "dagster_run_id": result.run_id,
        "mlflow_run_id": trained.run_id if trained else None,
        "seconds": round(result.seconds, 3),
    }


def _dataset(frame: "StoredFrame", data_version: str | None) -> dict[str, Any]:
    splits = counts(frame["split"])
    return {
        "rows": len(frame),
        "data_source": frame.attrs["data_source"],
        "labels": counts(frame["label"]),
        "splits": {split: splits.get(split, 0) for split in SPLITS},
        "quarantined": frame.attrs["quarantined"],
        "scripted": frame.attrs["scripted"],
        "data_version": data_version,
    }


def _headline(metrics: Any) -> dict[str, float]:
    return metrics.model_dump(include={"precision", "recall", "f1", "accuracy"})
