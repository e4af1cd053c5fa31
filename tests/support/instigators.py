"""Schedules and sensors as the daemon records them, without a daemon."""

from dagster import DagsterInstance

from tests.support.dagster_internals import (
    InProcessCodeLocationOrigin,
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    LoadableTargetOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
    ScheduleInstigatorData,
    SensorInstigatorData,
    SerializableErrorInfo,
    TickData,
    TickStatus,
)

_LOCATION = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="nhm_assets.definitions"), location_name="nhm")
_REPOSITORY = RemoteRepositoryOrigin(_LOCATION, "__repository__")


def put_schedule(instance: DagsterInstance, name: str, cron: str, *, running: bool = True) -> InstigatorState:
    """A schedule that the daemon has seen."""
    data = ScheduleInstigatorData(cron, start_timestamp=0.0)
    return _put(instance, name, InstigatorType.SCHEDULE, data, running=running)


def put_sensor(instance: DagsterInstance, name: str, interval_s: int, *, running: bool = True) -> InstigatorState:
    """A sensor that the daemon has seen."""
    data = SensorInstigatorData(min_interval=interval_s)
    return _put(instance, name, InstigatorType.SENSOR, data, running=running)


def _put(instance, name, kind, data, *, running: bool) -> InstigatorState:
    status = InstigatorStatus.RUNNING if running else InstigatorStatus.STOPPED
    return instance.add_instigator_state(InstigatorState(RemoteInstigatorOrigin(_REPOSITORY, name), kind, status, data))


def put_tick(
    instance: DagsterInstance, of: InstigatorState, status: TickStatus, at: float, *, failures: int = 0
) -> None:
    """A tick that ended at once."""
    data = TickData(
        instigator_origin_id=of.instigator_origin_id,
        instigator_name=of.instigator_name,
        instigator_type=of.instigator_type,
        status=status,
        timestamp=at,
        run_ids=[],
        error=SerializableErrorInfo("it failed", [], "Error") if status is TickStatus.FAILURE else None,
        skip_reason="nothing to do" if status is TickStatus.SKIPPED else None,
        selector_id=of.selector_id,
        failure_count=failures,
    )
    instance.create_tick(data)
