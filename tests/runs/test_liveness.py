"""Whether the process of a run is alive, and not another one with the same id or out of sight."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import psutil
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from nhm_assets.domain.dagster_names import JOB, RETENTION_JOB
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.liveness import end_dead_runs, executing_run, is_alive, process_of, this_process
from nhm_assets.runs.tags import PROCESS_TAG
from tests.support.processes import eventually
from tests.support.sqlite_instances import pooled_instance

HERE = socket.gethostname()
LAUNCHED_HERE = {
    ".dagster/grpc_info": json.dumps({"host": "localhost", "socket": "/tmp/code.sock"}),  # noqa: S108 - nothing is there
    ".dagster/nhm_launched_on": HERE,
}
OF_TECHNICAL = {"dagster/partition/specialist": "technical"}


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until the test ends it."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def instance(tmp_path) -> Iterator[DagsterInstance]:
    with pooled_instance(tmp_path) as instance:
        yield instance


def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def add_run(
    instance: DagsterInstance,
    process: str | None,
    *,
    job: str = JOB,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> DagsterRun:
    """A run in the process that its tag names."""
    executed = {PROCESS_TAG: process} if process else {}
    return instance.add_run(DagsterRun(job_name=job, status=status, tags={**executed, **tags}))


def test_a_process_that_existed_at_that_time_is_alive(child):
    assert is_alive(child.pid, since=time.time())
    assert is_alive(os.getpid(), since=time.time())


def test_a_process_that_has_ended_is_not_alive(child):
    child.kill()
    child.wait()
    assert not is_alive(child.pid, since=time.time())


def test_a_zombie_is_not_alive(child):
    """It still has its id: its parent, here the test, has not noticed its end."""
    child.kill()
    assert eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert not is_alive(child.pid, since=time.time())


def test_a_process_that_started_later_is_another_one_with_the_same_id(child):
    began = psutil.Process(child.pid).create_time()
    assert is_alive(child.pid, since=began)
    assert not is_alive(child.pid, since=began - 60)


def test_the_process_of_a_run_is_the_one_that_its_tag_names(instance):
    assert process_of(instance, add_run(instance, this_process())) == os.getpid()
    assert process_of(instance, add_run(instance, f"{HERE}:42")) == 42


def test_a_process_of_another_machine_is_not_mistaken_for_one_of_this_machine(instance):
    assert process_of(instance, add_run(instance, f"not-{HERE}:{os.getpid()}")) is None


def test_the_events_of_a_launched_run_name_its_process(instance):
    run = add_run(instance, None, tags=LAUNCHED_HERE)
    assert process_of(instance, run) is None
    instance.report_engine_event("Started process for run (pid: 4711).", run)
    assert process_of(instance, run) == 4711


def test_runs_whose_process_is_gone_are_marked_as_killed_and_others_are_not(instance, child):
    killed = add_run(instance, f"{HERE}:{gone()}")
    left = {
        add_run(instance, process, job=job, status=status).run_id: status
        for process, job, status in [
            (f"{HERE}:{os.getpid()}", JOB, DagsterRunStatus.STARTED),
            (f"not-{HERE}:{gone()}", JOB, DagsterRunStatus.STARTED),
            (None, JOB, DagsterRunStatus.STARTED),
            (f"{HERE}:{gone()}", RETENTION_JOB, DagsterRunStatus.STARTED),
            (f"{HERE}:{gone()}", JOB, DagsterRunStatus.SUCCESS),
        ]
    }
    assert end_dead_runs(instance) == [killed.run_id]
    ended = instance.get_run_by_id(killed.run_id)
    assert ended.status is DagsterRunStatus.FAILURE
    assert (ended.tags["nhm/outcome"], ended.tags["nhm/broken_by"]) == ("broken", "killed")
    assert ended.tags["nhm/reason"].startswith("its process was killed. Run ")
    assert {run: instance.get_run_by_id(run).status for run in left} == left
    assert end_dead_runs(instance) == []


def test_a_run_is_in_progress_if_its_process_is_alive(instance):
    add_run(instance, f"{HERE}:{gone()}", tags=OF_TECHNICAL)
    assert executing_run(instance, Specialist("technical")) is None
    at_work = add_run(instance, this_process(), tags=OF_TECHNICAL)
    assert executing_run(instance, Specialist("technical")).run_id == at_work.run_id
    assert executing_run(instance, Specialist("business")) is None


def test_a_run_whose_process_is_out_of_sight_counts_as_in_progress(instance):
    elsewhere = add_run(instance, f"not-{HERE}:{gone()}", tags=OF_TECHNICAL)
    assert executing_run(instance, Specialist("technical")).run_id == elsewhere.run_id


@pytest.mark.parametrize("status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.FAILURE])
def test_a_queued_or_ended_run_is_not_in_progress(instance, status: DagsterRunStatus):
    """Without a daemon a queued run may wait for ever."""
    add_run(instance, None, status=status, tags=OF_TECHNICAL)
    assert executing_run(instance, Specialist("technical")) is None
