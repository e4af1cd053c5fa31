"""Ended runs, and what the sensor on ended runs leaves of them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterEventType, DagsterRunStatus

from nhm_assets.domain.outcomes import OUTCOME_TAG, REASON_TAG
from tests.support.dagster_internals import freeze_time
from tests.support.platform import Platform
from tests.support.retrainings import end_run, put_run

PROMOTED = {OUTCOME_TAG: "promoted", REASON_TAG: "every gate check passed"}
HELD = {OUTCOME_TAG: "held", REASON_TAG: "held by f1_threshold", "nhm/held_by": "f1_threshold"}


def tags_of(platform: Platform, run_id: str) -> Mapping[str, str]:
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    return run.tags


def recorded_triggers(platform: Platform) -> dict[str, dict[str, Any]]:
    return {one["run_id"]: one for one in platform.database["retraining_triggers"].find()}


def recorded_breaks(platform: Platform) -> list[dict[str, Any]]:
    return list(platform.database["model_audit_log"].find({"kind": "broken"}))


def put_ended_run(platform: Platform, tags: Mapping[str, str] = PROMOTED, *, at: datetime | None = None) -> str:
    """A run that ended now, or at that time."""
    run_id = put_run(platform.instance, status=DagsterRunStatus.STARTED, tags=tags)
    with freeze_time(at or datetime.now(UTC)):
        end_run(platform.instance, run_id, DagsterEventType.RUN_SUCCESS)
    return run_id
