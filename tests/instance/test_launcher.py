"""The launcher that sees dead runs, as the instance's file names it."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import WorkerStatus

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.instance.launcher import WatchedRunLauncher
from nhm_assets.runs.liveness import LAUNCHED_ON_TAG, PROCESS_TAG
from tests.support.processes import ROOT

GRPC_TAG = ".dagster/grpc_info"
BY_SOCKET = json.dumps({"host": "localhost", "socket": "/tmp/code.sock"})  # noqa: S108 - nothing lies there
HERE = {GRPC_TAG: BY_SOCKET, LAUNCHED_ON_TAG: socket.gethostname()}
BY_PORT = json.dumps({"host": "elsewhere", "port": 4000})


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterInstance]:
    """The instance of deploy/local/dagster.yaml."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "3")
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / "local" / "dagster.yaml").read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def add_run(instance: DagsterInstance, pid: int | None, tags: dict[str, str]) -> DagsterRun:
    """A started run whose process has said its id."""
    run = instance.add_run(DagsterRun(job_name=JOB, status=DagsterRunStatus.STARTED, tags=tags))
    if pid:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    return run


def gone() -> int:
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


def test_a_run_whose_process_lives_is_healthy(instance):
    assert health(instance, add_run(instance, os.getpid(), HERE)) is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_is_said_to_have_failed_and_which_process_it_was(instance):
    pid = gone()
    result = instance.run_launcher.check_run_worker_health(add_run(instance, pid, HERE))
    assert result.status is WorkerStatus.FAILED
    assert result.msg == f"process {pid} is gone: it was killed, or the machine was"


def test_a_run_of_the_command_line_is_watched_by_its_tag(instance):
    tag = f"{socket.gethostname()}:{gone()}"
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
    ids=["a code server elsewhere", "no word of one", "a command line elsewhere", "a daemon elsewhere"],
)
def test_a_process_out_of_sight_is_left_to_the_time_limit(instance, tags):
    result = instance.run_launcher.check_run_worker_health(add_run(instance, gone(), tags))
    assert result.status is WorkerStatus.RUNNING
    assert "cannot be seen from here" in result.msg


def test_a_run_that_has_not_said_its_process_yet_is_left_to_the_time_limit(instance):
    assert health(instance, add_run(instance, None, HERE)) is WorkerStatus.RUNNING
