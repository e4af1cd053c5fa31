"""The launcher that notices dead runs, as `dagster.yaml` names it."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.instance.launcher import WatchedRunLauncher
from nhm_assets.runs.tags import LAUNCHED_ON_TAG, PROCESS_TAG
from tests.support.dagster_internals import WorkerStatus
from tests.support.processes import ROOT

GRPC_TAG = ".dagster/grpc_info"
BY_SOCKET = json.dumps({"host": "localhost", "socket": "/tmp/code.sock"})  # noqa: S108 - no such file
HERE = {GRPC_TAG: BY_SOCKET, LAUNCHED_ON_TAG: socket.gethostname()}
BY_PORT = json.dumps({"host": "elsewhere", "port": 4000})


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """The instance of deploy/local/dagster.yaml."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "3")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "local" / "dagster.yaml").read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def add_run(instance: DagsterInstance, pid: int | None, tags: dict[str, str]) -> DagsterRun:
    """A started run whose process has reported its id."""
    run = instance.add_run(DagsterRun(job_name=JOB, status=DagsterRunStatus.STARTED, tags=tags))
    if pid:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    return run


def dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def health(instance: DagsterInstance, run: DagsterRun) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(run).status


def test_the_local_instance_watches_its_runs_and_queues_them(instance):
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    limits = instance.get_concurrency_config().run_queue_config
    assert limits.max_concurrent_runs == 3
    assert limits.tag_concurrency_limits == [
        {"key": "dagster/partition/specialist", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]


def test_a_run_whose_process_is_alive_is_healthy(instance):
    assert health(instance, add_run(instance, os.getpid(), HERE)) is WorkerStatus.RUNNING


def test_a_run_whose_process_is_dead_has_failed_and_the_message_names_the_process(instance):
    pid = dead_pid()
    result = instance.run_launcher.check_run_worker_health(add_run(instance, pid, HERE))
    assert result.status is WorkerStatus.FAILED
    assert result.msg == f"process {pid} is gone: it was killed, or the machine restarted"


def test_a_run_that_a_command_executes_is_checked_by_its_tag(instance):
    tag = f"{socket.gethostname()}:{dead_pid()}"
    assert health(instance, add_run(instance, None, {PROCESS_TAG: tag})) is WorkerStatus.FAILED
    assert (
        health(instance, add_run(instance, None, {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}))
        is WorkerStatus.RUNNING
    )


@pytest.mark.parametrize(
    "tags",
    [
        {GRPC_TAG: BY_PORT, LAUNCHED_ON_TAG: socket.gethostname()},
        {},
        {PROCESS_TAG: "another-machine:1"},
        {GRPC_TAG: BY_SOCKET, LAUNCHED_ON_TAG: "another-machine"},
    ],
    ids=["code server on another host", "no tags", "command on another host", "daemon on another host"],
)
def test_a_process_on_another_host_counts_as_alive_until_the_time_limit(instance, tags):
    result = instance.run_launcher.check_run_worker_health(add_run(instance, dead_pid(), tags))
    assert result.status is WorkerStatus.RUNNING
    assert "cannot be checked from here" in result.msg


def test_a_run_whose_process_is_not_known_yet_counts_as_alive_until_the_time_limit(instance):
    assert health(instance, add_run(instance, None, HERE)) is WorkerStatus.RUNNING
