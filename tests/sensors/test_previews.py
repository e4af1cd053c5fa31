"""A person previews a tick in the UI: the same code is evaluated, and nothing is written.

The test sends the mutation that the page sends, to Dagster's GraphQL schema and the real schedule and sensors.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import DagsterEventType, DagsterRunStatus

from nhm_assets.domain.dagster_names import LOST_RETRY_SENSOR, OUTCOME_SENSOR, SCHEDULE, VOLUME_SENSOR
from nhm_assets.domain.outcomes import OUTCOME_TAG, TRANSIENT_TAG
from tests.support.dagster_internals import (
    InProcessCodeLocationOrigin,
    InProcessWorkspaceLoadTarget,
    LoadableTargetOrigin,
    WorkspaceProcessContext,
    create_test_daemon_workspace_context,
    execute_sensor_iteration,
)
from tests.support.documents import NOW
from tests.support.platform import Platform
from tests.support.replayed import SENSORS
from tests.support.retrainings import end_run, partition, put_run
from tests.support.reviews import ago, review

LOCATION = InProcessCodeLocationOrigin(
    LoadableTargetOrigin(module_name="tests.support.replayed", attribute="all_sensors"), location_name="replayed"
)
SELECTOR = {"repositoryLocationName": "replayed", "repositoryName": "__repository__"}
RESULT = "evaluationResult { runRequests { runKey } skipReason error { message } }"
SENSOR = f"""
mutation ($selector: SensorSelector!) {{
  sensorDryRun(selectorData: $selector, cursor: null) {{ __typename ... on DryRunInstigationTick {{ {RESULT} }} }}
}}
"""
WEEKLY = f"""
mutation ($selector: ScheduleSelector!, $at: Float) {{
  scheduleDryRun(selectorData: $selector, timestamp: $at) {{ __typename ... on DryRunInstigationTick {{ {RESULT} }} }}
}}
"""


@pytest.fixture
def workspace(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkspaceProcessContext]:
    monkeypatch.setenv("NHM_NOW", NOW.isoformat())
    monkeypatch.setenv("MONGODB_URI", platform.settings.mongodb_uri.get_secret_value())
    monkeypatch.setenv("MONGODB_DATABASE", platform.settings.mongodb_database)
    monkeypatch.setenv("RESTART_AFTER_MINUTES", "[0.0001]")
    with create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(LOCATION), platform.instance) as workspace:
        yield workspace


@pytest.fixture
def everything_to_do(platform: Platform) -> None:
    """Enough feedback for a run, and an ended run that is to be reported and started over."""
    review(platform.database, 100, ago(NOW, hours=1), "business")
    tags = {OUTCOME_TAG: "broken", TRANSIENT_TAG: "true"}
    run_id = put_run(platform.instance, partition(), status=DagsterRunStatus.STARTED, tags=tags)
    end_run(platform.instance, run_id, DagsterEventType.RUN_FAILURE)


def preview(workspace: WorkspaceProcessContext, query: str, **variables: Any) -> dict[str, Any]:
    """What the page shows for a previewed tick."""
    from dagster_graphql.test.utils import execute_dagster_graphql

    answer = execute_dagster_graphql(workspace.create_request_context(), query, variables=variables)
    assert not answer.errors, answer.errors
    (tick,) = answer.data.values()
    assert tick["evaluationResult"]["error"] is None
    return dict(tick["evaluationResult"])


def preview_sensor(workspace: WorkspaceProcessContext, name: str) -> dict[str, Any]:
    return preview(workspace, SENSOR, selector=SELECTOR | {"sensorName": name})


def written(platform: Platform) -> dict[str, Any]:
    """All documents, and all runs with their tags."""
    documents = {name: list(platform.database[name].find()) for name in platform.database.list_collection_names()}
    return documents | {run.run_id: (run.status, dict(run.tags)) for run in platform.instance.get_runs()}


@pytest.mark.usefixtures("everything_to_do")
@pytest.mark.parametrize("name", SENSORS)
def test_a_preview_of_a_sensor_writes_nothing(platform: Platform, workspace: WorkspaceProcessContext, name: str):
    before = written(platform)
    preview_sensor(workspace, name)
    assert written(platform) == before


@pytest.mark.usefixtures("everything_to_do")
def test_a_preview_shows_what_the_tick_would_do(workspace: WorkspaceProcessContext):
    assert preview_sensor(workspace, VOLUME_SENSOR)["runRequests"] == [{"runKey": "feedback_volume:business:1"}]
    (restart,) = preview_sensor(workspace, LOST_RETRY_SENSOR)["runRequests"]
    assert restart["runKey"].startswith("restart:")
    assert preview_sensor(workspace, OUTCOME_SENSOR)["skipReason"] == "outcomes that would be reported: 1"


def test_a_preview_of_the_schedule_writes_nothing(platform: Platform, workspace: WorkspaceProcessContext):
    before = written(platform)
    sunday = datetime(2026, 3, 22, 1, tzinfo=UTC).timestamp()
    shown = preview(workspace, WEEKLY, selector=SELECTOR | {"scheduleName": SCHEDULE}, at=sunday)
    assert len(shown["runRequests"]) == 5
    assert written(platform) == before


@pytest.mark.usefixtures("everything_to_do")
def test_after_a_preview_the_daemons_tick_does_its_work(platform: Platform, workspace: WorkspaceProcessContext):
    """A preview that had claimed the run would have kept the daemon from requesting it."""
    preview_sensor(workspace, VOLUME_SENSOR)
    for _ in execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None):
        """It yields heartbeats and errors."""
    claimed = platform.database["retraining_triggers"].find_one({"_id": "feedback_volume:business:1"})
    assert claimed is not None
    (reported,) = platform.database["model_audit_log"].find({"kind": "broken"})
    assert reported["broken_by"] == "killed"
