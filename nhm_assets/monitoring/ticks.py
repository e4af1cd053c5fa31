"""Whether Dagster's daemons live, and what schedules and sensors do."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Final

from dagster import DagsterInstance

from nhm_assets.domain.dagster_internals import (
    InstigatorState,
    InstigatorTick,
    InstigatorType,
    ScheduleInstigatorData,
    TickStatus,
    get_next_cron_tick,
)
from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.metric import Distribution, Readings

_NEWEST: Final = 20
"""Ticks that are read of each schedule and sensor."""
_SENSOR_DAEMON: Final = "SENSOR"
_LONGEST_SILENCE_S: Final = 600.0
"""Sensors tick at least once per minute as long as the daemon lives and the code location loads."""
_STATUSES: Final = {
    TickStatus.SUCCESS: "success",
    TickStatus.SKIPPED: "skipped",
    TickStatus.FAILURE: "failure",
}


def put_heartbeats(readings: Readings, instance: DagsterInstance) -> None:
    """Add the last sign of life of each daemon that this instance needs."""
    required = set(instance.get_required_daemon_types())
    for daemon, heartbeat in instance.get_daemon_heartbeats().items():
        if daemon in required:
            readings.put(own_metrics.HEARTBEAT, heartbeat.timestamp, daemon)


def put_ticks(readings: Readings, instance: DagsterInstance) -> None:
    """Add the newest ticks of every schedule and sensor that a daemon has seen."""
    for state in _newest_states(instance):
        kind, name = state.instigator_type.value.lower(), state.instigator_name
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_NEWEST)
        ended = [tick for tick in ticks if tick.status in _STATUSES]
        readings.put(own_metrics.TICK_SOURCE_RUNNING, float(state.is_running), kind, name)
        for status, word in _STATUSES.items():
            times = [tick.timestamp for tick in ended if tick.status is status]
            readings.put(own_metrics.LAST_TICK, max(times, default=None), kind, name, word)
        readings.put(own_metrics.FAILED_TICKS, _failed_in_a_row(ended), kind, name)
        readings.put(own_metrics.NEXT_TICK, _next_tick(state, ticks), kind, name)


def put_code_location(readings: Readings) -> None:
    """Add whether the code location loads, as the heartbeats and ticks that were put before tell."""
    running = {labels for labels, on in readings.values.get(own_metrics.TICK_SOURCE_RUNNING, {}).items() if on}
    ticks = [
        float(time)
        for (kind, name, _), time in readings.values.get(own_metrics.LAST_TICK, {}).items()
        if kind == "sensor" and (kind, name) in running and not isinstance(time, Distribution)
    ]
    alive_at = readings.plain(own_metrics.HEARTBEAT).get(_SENSOR_DAEMON)
    if ticks and alive_at is not None:
        readings.put(own_metrics.CODE_LOCATION_LOADS, float(alive_at - max(ticks) <= _LONGEST_SILENCE_S))


def _newest_states(instance: DagsterInstance) -> list[InstigatorState]:
    """One state per schedule and sensor. A code location that has moved leaves the states of its old address behind."""
    newest: dict[tuple[InstigatorType, str], InstigatorState] = {}
    for state in instance.all_instigator_state():
        newest[state.instigator_type, state.instigator_name] = state
    return list(newest.values())


def _failed_in_a_row(newest_first: Sequence[InstigatorTick]) -> int:
    """A schedule evaluates a tick that failed again, under the same number; a sensor makes a new tick."""
    failed = takewhile(lambda tick: tick.status is TickStatus.FAILURE, newest_first)
    return sum(max(1, tick.failure_count) for tick in failed)


def _next_tick(state: InstigatorState, newest_first: Sequence[InstigatorTick]) -> float | None:
    data = state.instigator_data
    if not state.is_running or data is None:
        return None
    if isinstance(data, ScheduleInstigatorData):
        crons = [data.cron_schedule] if isinstance(data.cron_schedule, str) else list(data.cron_schedule)
        return min(get_next_cron_tick(cron, datetime.now(UTC), "UTC").timestamp() for cron in crons)
    return newest_first[0].timestamp + (data.min_interval or 0) if newest_first else None
