"""The daily schedule of `served_quality_job`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import AssetMaterialization, DagsterInstance, build_schedule_context

from nhm_assets.automation.served_quality_job import served_quality_schedule
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import FIVE
from nhm_assets.settings import Settings
from tests.support.sqlite_instances import pooled_instance

MONDAY = datetime(2026, 3, 9, 5, tzinfo=UTC)
RUNNING, CLOSED = "2026-03-08", "2026-03-01"


def requested(instance: DagsterInstance, **settings: Any) -> set[str]:
    context = build_schedule_context(
        instance=instance,
        scheduled_execution_time=MONDAY,
        resources={"settings": Settings(nhm_now=MONDAY, **settings)},
    )
    return {str(request.partition_key) for request in served_quality_schedule(context)}


def measured(instance: DagsterInstance, specialist: str, until: datetime) -> None:
    key = Partition.parse(CLOSED, specialist).key
    instance.report_runless_asset_event(
        AssetMaterialization("served_quality", partition=key, metadata={"measured_until": until.isoformat()})
    )


def test_the_running_week_is_measured_daily_and_the_closed_one_where_it_is_not_yet(tmp_path: Path):
    with pooled_instance(tmp_path) as instance:
        measured(instance, "technical", datetime(2026, 3, 8, tzinfo=UTC))
        measured(instance, "business", datetime(2026, 3, 7, 5, tzinfo=UTC))
        found = requested(instance)
    assert {key for key in found if key.endswith(RUNNING)} == {f"{name}|{RUNNING}" for name in FIVE}
    assert found - {f"{name}|{RUNNING}" for name in FIVE} == {
        f"{name}|{CLOSED}" for name in FIVE if name != "technical"
    }


def test_a_closed_week_before_the_first_one_is_not_measured(tmp_path: Path):
    """Dagster refuses the whole tick for one partition that does not exist."""
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        found = requested(instance, first_week=RUNNING)
    assert found == {f"{name}|{RUNNING}" for name in FIVE}
