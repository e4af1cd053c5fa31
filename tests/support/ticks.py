"""Evaluations of the sensors and of the schedule, without the daemon."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dagster import RunRequest, SkipReason, build_schedule_context, build_sensor_context

from nhm_assets.automation.weekly_schedule import weekly_schedule
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.resource_factories import mongo_of
from resources.notifiers import Notifier
from sensors.feedback_volume import feedback_volume_sensor
from sensors.run_status import retraining_outcome_sensor
from tests.support.platform import Platform


@dataclass(frozen=True)
class Tick:
    """The result of an evaluation.

    Attributes:
        requests: the requested runs, by partition key.
        says: why it requests none.
    """

    requests: dict[str, RunRequest]
    says: str
    cursor: str | None = None

    @property
    def run_key(self) -> str:
        """The run key of its only request."""
        (request,) = self.requests.values()
        return str(request.run_key)


def volume_tick(platform: Platform, now: datetime | None = None, *, cursor: str | None = None) -> Tick:
    """An evaluation of the sensor on new feedback, at that time."""
    there = platform.with_settings(nhm_now=now) if now else platform
    context = build_sensor_context(
        instance=platform.instance,
        cursor=cursor,
        resources={"settings": there.settings, "mongo": mongo_of(there.settings)},
    )
    return _tick(feedback_volume_sensor(context))


def outcome_tick(platform: Platform, notifiers: Sequence[Notifier] = (), *, cursor: str | None = None) -> Tick:
    """An evaluation of the sensor on ended runs."""
    context = build_sensor_context(
        instance=platform.instance,
        cursor=cursor,
        resources={
            "settings": platform.settings,
            "mongo": mongo_of(platform.settings),
            "mlflow": platform.mlflow,
            "notifiers": list(notifiers),
        },
    )
    return _tick(retraining_outcome_sensor(context))


def weekly_tick(platform: Platform, now: datetime, *, scheduled: datetime | None = None) -> Tick:
    """An evaluation of the weekly schedule, for the time at which it was due."""
    there = platform.with_settings(nhm_now=now)
    context = build_schedule_context(
        instance=platform.instance,
        scheduled_execution_time=scheduled or now,
        resources={"settings": there.settings, "mongo": mongo_of(there.settings)},
    )
    results = list(weekly_schedule()(context))
    skipped = [one.skip_message for one in results if isinstance(one, SkipReason)]
    return Tick({str(one.partition_key): one for one in results if isinstance(one, RunRequest)}, "".join(skipped))


def launch(platform: Platform, tick: Tick, **run: Any) -> list[str]:
    """Create the runs that a tick requests, as the daemon does; their ids."""
    from tests.support.retrainings import put_run

    return [
        put_run(
            platform.instance,
            Partition.from_key(key),
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            **run,
        )
        for key, request in tick.requests.items()
        if request.job_name in (None, JOB)
    ]


def _tick(result: Any) -> Tick:
    says = result.skip_reason.skip_message if result.skip_reason else ""
    return Tick({str(one.partition_key): one for one in result.run_requests or ()}, says, result.cursor)
