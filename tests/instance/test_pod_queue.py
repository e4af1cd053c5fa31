"""While the API server is away, a run waits in the queue. Dagster's own queue daemon launches it."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import dagster_k8s.client
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, reconstructable

from tests.support.dagster_internals import (
    InProcessCodeLocationOrigin,
    InProcessWorkspaceLoadTarget,
    LoadableTargetOrigin,
    QueuedRunCoordinatorDaemon,
    RemoteJobOrigin,
    create_run_for_test,
    create_test_daemon_workspace_context,
)
from tests.support.pod_instance import instance_with_pods
from tests.support.ports import free_port
from tests.support.retrainings import put_run
from tests.support.short_job import short
from tests.support.web import Answer, website

JOBS = "/apis/batch/v1/namespaces/mlflow/jobs"
CREATED: Answer = (201, json.dumps({"kind": "Job", "apiVersion": "batch/v1"}))
HOURS_12 = 12 * 3600
IMAGE_VARIABLE = "DAGSTER_CURRENT_IMAGE"
SHORT = InProcessCodeLocationOrigin(
    LoadableTargetOrigin(module_name="tests.support.short_job", attribute="defs"), location_name="short"
)
BROKEN = SHORT._replace(loadable_target_origin=LoadableTargetOrigin(module_name="tests.support.no_such_module"))


def status(code: int, message: str) -> Answer:
    return code, json.dumps({"kind": "Status", "code": code, "message": message})


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """dagster-k8s pauses for ten seconds between its own four attempts; here it does not."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "3")
    monkeypatch.delenv(IMAGE_VARIABLE, raising=False)
    monkeypatch.setattr(dagster_k8s.client, "time", SimpleNamespace(sleep=lambda _: None, time=time.time))


def queued_run(instance: DagsterInstance, image: str | None = None) -> str:
    """A run of the code location `short`, requested when that had this image."""
    code = reconstructable(short).get_python_origin()
    code = code._replace(repository_origin=code.repository_origin._replace(container_image=image))
    repository = instance.get_run_by_id(put_run(instance)).remote_job_origin.repository_origin
    origin = RemoteJobOrigin(repository._replace(code_location_origin=SHORT), "short")
    run = create_run_for_test(
        instance,
        job_name="short",
        status=DagsterRunStatus.NOT_STARTED,
        remote_job_origin=origin,
        job_code_origin=code,
    )
    instance.submit_run(run.run_id, workspace=None)
    return run.run_id


def dequeue(
    instance: DagsterInstance,
    run_id: str,
    image: str | None = None,
    location: InProcessCodeLocationOrigin = SHORT,
) -> DagsterRun:
    """One iteration of the daemon that launches queued runs; the run afterwards. The code location has this image."""
    location = location._replace(container_image=image)
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    with create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget(location), instance) as workspace:
        for _ in daemon.run_iteration(workspace):
            """It yields heartbeats."""
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def story(instance: DagsterInstance, run_id: str) -> str:
    return "\n".join(str(entry.dagster_event) for entry in instance.all_logs(run_id) if entry.dagster_event)


@pytest.mark.parametrize("busy", [500, 503])
def test_a_run_waits_in_the_queue_while_the_api_server_is_busy(tmp_path: Path, busy: int):
    with website({JOBS: status(busy, "not now")}) as site, instance_with_pods(tmp_path, site.address) as instance:
        run_id = queued_run(instance)
        assert dequeue(instance, run_id).status is DagsterRunStatus.QUEUED
        assert f"The Kubernetes API server does not answer, so the Job of run {run_id}" in story(instance, run_id)


def test_a_run_waits_in_the_queue_while_the_api_server_is_away_and_is_launched_then(tmp_path: Path):
    port = free_port()
    with instance_with_pods(tmp_path, f"http://127.0.0.1:{port}") as instance:
        run_id = queued_run(instance)
        for _ in range(2):
            assert dequeue(instance, run_id).status is DagsterRunStatus.QUEUED
        with website({JOBS: CREATED}, port=port):
            assert dequeue(instance, run_id).status is DagsterRunStatus.STARTING
        assert "Kubernetes run worker job created" in story(instance, run_id)


def test_a_run_that_waited_in_the_queue_gets_the_image_of_today(tmp_path: Path):
    """After an upgrade, an old image may not understand the database any more."""
    with website({JOBS: CREATED}) as site, instance_with_pods(tmp_path, site.address) as instance:
        run_id = queued_run(instance, image="nhm-assets:0.1.0")
        assert dequeue(instance, run_id, image="nhm-assets:0.2.0").tags["dagster/image"] == "nhm-assets:0.2.0"


def test_a_run_gets_the_image_of_the_daemon_while_the_old_code_location_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(IMAGE_VARIABLE, "nhm-assets:0.2.0")
    with website({JOBS: CREATED}) as site, instance_with_pods(tmp_path, site.address) as instance:
        run_id = queued_run(instance, image="nhm-assets:0.1.0")
        assert dequeue(instance, run_id, image="nhm-assets:0.1.0").tags["dagster/image"] == "nhm-assets:0.2.0"


def test_a_run_waits_in_the_queue_while_nothing_says_which_image_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with website({JOBS: CREATED}) as site, instance_with_pods(tmp_path, site.address) as instance:
        run_id = queued_run(instance, image="nhm-assets:0.1.0")
        run = dequeue(instance, run_id, location=BROKEN)
        assert run.status is DagsterRunStatus.QUEUED
        assert "dagster/image" not in run.tags
        assert f"does not say which image run {run_id} needs. The run waits" in story(instance, run_id)
        # The daemon may know it.
        monkeypatch.setenv(IMAGE_VARIABLE, "nhm-assets:0.2.0")
        assert dequeue(instance, run_id, location=BROKEN).tags["dagster/image"] == "nhm-assets:0.2.0"


def test_a_run_keeps_its_image_if_the_code_location_names_none(tmp_path: Path):
    with website({JOBS: CREATED}) as site, instance_with_pods(tmp_path, site.address) as instance:
        run_id = queued_run(instance, image="nhm-assets:0.1.0")
        assert dequeue(instance, run_id).tags["dagster/image"] == "nhm-assets:0.1.0"


def test_a_job_whose_creation_was_answered_too_late_is_not_created_twice(tmp_path: Path):
    """The first launch created it, so the second one gets a conflict. That is no failure of the run."""
    with (
        website({JOBS: status(409, "already exists")}) as site,
        instance_with_pods(tmp_path, site.address) as instance,
    ):
        run_id = queued_run(instance)
        assert dequeue(instance, run_id).status is DagsterRunStatus.STARTING
        assert "The Job of this run exists already" in story(instance, run_id)


@pytest.mark.parametrize("refusal", [401, 403])
def test_a_refusal_ends_the_run(tmp_path: Path, refusal: int):
    with website({JOBS: status(refusal, "no")}) as site, instance_with_pods(tmp_path, site.address) as instance:
        run_id = queued_run(instance)
        assert dequeue(instance, run_id).status is DagsterRunStatus.FAILURE


def test_runs_wait_for_at_least_twelve_hours(tmp_path: Path):
    with instance_with_pods(tmp_path, f"http://127.0.0.1:{free_port()}") as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay >= HOURS_12
