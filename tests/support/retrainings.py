"""Retrainings as Dagster records them, without the work: for tests that only look at how a run ended."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
)

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import Specialist
from tests.support.dagster_internals import (
    InProcessCodeLocationOrigin,
    LoadableTargetOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
    SerializableErrorInfo,
    StepFailureData,
    StepMaterializationData,
    create_run_for_test,
    freeze_time,
)
from tests.support.documents import WEEK

_LOCATION = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="nhm_assets.definitions"), location_name="nhm")
_JOB_ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(_LOCATION, "__repository__"), JOB)

MODELS_LOADED = AssetCheckKey(AssetKey("specialist_rollout"), "models_loaded")


def partition(week: str = WEEK, specialist: str = "technical") -> Partition:
    return Partition(week, Specialist(specialist))


def put_run(
    instance: DagsterInstance,
    of: Partition | None = None,
    *,
    status: DagsterRunStatus = DagsterRunStatus.SUCCESS,
    tags: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
    checks: Sequence[AssetCheckKey] | None = None,
    created: datetime | None = None,
    parent: str | None = None,
    config: Mapping[str, Any] | None = None,
    job: str = JOB,
) -> str:
    """Create a run of a job for a partition and return its id; `only` selects its assets, `checks` its checks."""
    of = of or partition()
    partition_tags = {
        "dagster/partition": str(of.key),
        "dagster/partition/specialist": str(of.specialist),
        "dagster/partition/week": of.week,
    }
    with freeze_time(created) if created else nullcontext():
        run = create_run_for_test(
            instance,
            job_name=job,
            status=status,
            tags=partition_tags | dict(tags or {}),
            asset_selection=frozenset(map(AssetKey, only)) if only else None,
            asset_check_selection=frozenset(checks) if checks else None,
            run_config=dict(config or {}),
            parent_run_id=parent,
            root_run_id=parent,
            remote_job_origin=_JOB_ORIGIN,
        )
    return run.run_id


def put_dataset(instance: DagsterInstance, of: Partition, end: datetime, *, run_id: str | None = None) -> None:
    """Record the materialization of a dataset whose window ended at this time, by this run or by none."""
    window = [(of.week_end - timedelta(days=30)).isoformat(), end.isoformat()]
    event = AssetMaterialization("feedback_dataset", partition=str(of.key), metadata={"window": window})
    if run_id is None:
        instance.report_runless_asset_event(event)
        return
    made = DagsterEvent(
        DagsterEventType.ASSET_MATERIALIZATION.value,
        JOB,
        step_key="feedback_dataset",
        event_specific_data=StepMaterializationData(event),
    )
    instance.report_dagster_event(made, run_id)


def fail_step(instance: DagsterInstance, run_id: str, error: str, message: str) -> None:
    """Record that a step of the run failed with an error of this class."""
    info = SerializableErrorInfo(f"{error}: {message}", [], error)
    data = StepFailureData(error=info, user_failure_data=None)
    event = DagsterEvent(DagsterEventType.STEP_FAILURE.value, JOB, step_key="trained_model", event_specific_data=data)
    instance.report_dagster_event(event, run_id)


def end_run(instance: DagsterInstance, run_id: str, kind: DagsterEventType, message: str = "") -> None:
    """Report an event of a run, as the process that executes it does."""
    instance.report_dagster_event(DagsterEvent(kind.value, JOB, message=message), run_id)
