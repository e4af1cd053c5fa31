"""`nhm retrain` beside runs of the daemon: one process at a time works on a specialist."""

import threading
import time

import pytest
from dagster import DagsterRunStatus

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.in_process import in_process_tags, wait_for_other_run
from nhm_assets.runs.liveness import PROCESS_TAG, this_process
from nhm_assets.settings import Settings
from tests.support.platform import Platform
from tests.support.retrainings import put_run

AT_WORK = {"status": DagsterRunStatus.STARTED, "tags": {PROCESS_TAG: this_process()}}


def test_a_run_at_work_is_waited_for(platform: Platform):
    run_id = put_run(platform.instance, **AT_WORK)
    run = platform.instance.get_run_by_id(run_id)
    ended: list[float] = []

    def end() -> None:
        ended.append(time.monotonic())
        platform.instance.report_run_failed(run)

    told: list[str] = []
    threading.Timer(1, end).start()
    wait_for_other_run(platform.instance, Specialist.TECHNICAL, timeout_s=60, progress=told.append)
    assert ended
    assert set(told) == {f"waiting for run {run_id}"}


def test_one_that_does_not_end_in_time_is_named_with_the_remedy(platform: Platform):
    run_id = put_run(platform.instance, **AT_WORK)
    with pytest.raises(UsageError, match=rf"run {run_id} of technical .*MAX_RUN_SECONDS.*end it in Dagster's UI"):
        wait_for_other_run(platform.instance, Specialist.TECHNICAL, timeout_s=0.1, progress=lambda _: None)


def test_another_specialist_is_not_waited_for(platform: Platform):
    put_run(platform.instance, **AT_WORK)
    told: list[str] = []
    wait_for_other_run(platform.instance, Specialist.BUSINESS, timeout_s=0.1, progress=told.append)
    assert told == []


def test_a_run_in_a_pod_says_in_which():
    assert "nhm/pod" not in in_process_tags(Settings())
    tags = in_process_tags(Settings(pod_name="a-job-x7k2p", pod_namespace="mlflow"))
    assert (tags["nhm/pod"], tags[PROCESS_TAG]) == ("mlflow/a-job-x7k2p", this_process())
