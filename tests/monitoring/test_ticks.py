"""Daemons, schedules and sensors: what is known of them without asking a daemon."""

from datetime import UTC, datetime

import pytest

from nhm_assets.monitoring import own_metrics
from nhm_assets.monitoring.metric import Readings
from nhm_assets.monitoring.ticks import put_code_location, put_heartbeats, put_ticks
from tests.support.dagster_internals import DaemonHeartbeat, TickStatus
from tests.support.instigators import put_schedule, put_sensor, put_tick
from tests.support.platform import Platform

SENSOR = ("sensor", "s")


def ticks(platform: Platform) -> Readings:
    readings = Readings()
    put_ticks(readings, platform.instance)
    return readings


def test_the_age_of_a_dead_daemon_is_known_while_dagster_still_calls_it_healthy(platform: Platform):
    platform.instance.add_daemon_heartbeat(DaemonHeartbeat(1234.0, "SENSOR", "id", []))
    platform.instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, "NO_DAEMON_OF_THIS_RELEASE", "id", []))
    readings = Readings()
    put_heartbeats(readings, platform.instance)
    assert readings.values[own_metrics.HEARTBEAT] == {("SENSOR",): 1234.0}


def test_the_newest_tick_of_each_status_is_shown(platform: Platform):
    sensor = put_sensor(platform.instance, "s", 30)
    for at, status in ((100.0, TickStatus.SUCCESS), (130.0, TickStatus.SKIPPED), (160.0, TickStatus.SKIPPED)):
        put_tick(platform.instance, sensor, status, at)
    values = ticks(platform).values
    assert values[own_metrics.LAST_TICK] == {(*SENSOR, "success"): 100.0, (*SENSOR, "skipped"): 160.0}
    assert values[own_metrics.NEXT_TICK] == {SENSOR: 190.0}
    assert values[own_metrics.TICK_SOURCE_RUNNING] == {SENSOR: 1.0}


@pytest.mark.parametrize(
    ("newest_last", "expected"),
    [
        ([], 0),
        ([(TickStatus.FAILURE, 0), (TickStatus.SUCCESS, 0)], 0),
        ([(TickStatus.SUCCESS, 0), (TickStatus.FAILURE, 0), (TickStatus.FAILURE, 0)], 2),
        # A schedule evaluates the same tick again.
        ([(TickStatus.FAILURE, 7)], 7),
    ],
)
def test_failed_evaluations_count_from_the_newest_back_to_the_last_that_succeeded(
    platform: Platform, newest_last: list[tuple[TickStatus, int]], expected: int
):
    sensor = put_sensor(platform.instance, "s", 30)
    for number, (status, failures) in enumerate(newest_last):
        put_tick(platform.instance, sensor, status, 100.0 + number, failures=failures)
    assert ticks(platform).values[own_metrics.FAILED_TICKS] == {SENSOR: expected}


def test_a_schedule_is_due_at_its_next_time_and_never_if_it_is_off(platform: Platform):
    put_schedule(platform.instance, "weekly", "0 2 * * 0")
    put_schedule(platform.instance, "off", "0 2 * * 0", running=False)
    values = ticks(platform).values
    ((labels, due),) = values[own_metrics.NEXT_TICK].items()
    assert labels == ("schedule", "weekly")
    moment = datetime.fromtimestamp(due, UTC)
    assert (moment.strftime("%A %H:%M"), moment > datetime.now(UTC)) == ("Sunday 02:00", True)
    assert values[own_metrics.TICK_SOURCE_RUNNING] == {("schedule", "weekly"): 1.0, ("schedule", "off"): 0.0}


@pytest.mark.parametrize(
    ("daemon_at", "ticks", "expected"),
    [
        (1000.0, {"slow": (300.0, True), "s": (990.0, True)}, 1.0),
        (1000.0, {"slow": (300.0, True), "s": (399.0, True)}, 0.0),
        # What nobody evaluates any more says nothing.
        (1000.0, {"off": (990.0, False), "s": (399.0, True)}, 0.0),
        (1000.0, {"off": (399.0, False)}, None),
        (None, {"s": (399.0, True)}, None),
    ],
)
def test_code_loads_if_a_sensor_that_is_on_was_evaluated_shortly_before_the_daemons_last_sign_of_life(
    daemon_at: float | None, ticks: dict[str, tuple[float, bool]], expected: float | None
):
    readings = Readings()
    readings.put(own_metrics.HEARTBEAT, daemon_at, "SENSOR")
    for name, (at, on) in ticks.items():
        readings.put(own_metrics.TICK_SOURCE_RUNNING, float(on), "sensor", name)
        readings.put(own_metrics.LAST_TICK, at, "sensor", name, "skipped")
    put_code_location(readings)
    assert readings.values.get(own_metrics.CODE_LOCATION_LOADS, {}).get(()) == expected
