"""`nhm retrain` while the daemon runs: only one process at a time works on a specialist."""

import threading

import pytest
from dagster import DagsterRunStatus

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.specialists import Specialist
from nhm_assets.runs.in_process import in_process_tags, wait_for_other_run
from nhm_assets.runs.liveness import this_process
from nhm_assets.runs.tags import PROCESS_TAG
from nhm_assets.settings import Settings
from tests.support.platform import Platform
from tests.support.retrainings import put_run

IN_PROGRESS = {"status": DagsterRunStatus.STARTED, "tags": {PROCESS_TAG: this_process()}}


def test_it_waits_for_a_run_in_progress(platform: Platform):
    run_id = put_run(platform.instance, **IN_PROGRESS)
    run = platform.instance.get_run_by_id(run_id)
    messages: list[str] = []

    def end(message: str) -> None:
        messages.append(message)
        threading.Timer(1, lambda: platform.instance.report_run_failed(run)).start()

    wait_for_other_run(platform.instance, Specialist("technical"), timeout_s=60, progress=end)
    assert platform.instance.get_run_by_id(run_id).is_finished
    assert set(messages) == {f"waiting for run {run_id}"}


def test_a_run_that_does_not_end_in_time_is_named_with_what_to_do(platform: Platform):
    run_id = put_run(platform.instance, **IN_PROGRESS)
    with pytest.raises(
        UsageError, match=rf"run of technical \({run_id}\) .*MAX_RUN_SECONDS.*Terminate it in Dagster's UI"
    ):
        wait_for_other_run(platform.instance, Specialist("technical"), timeout_s=0.1, progress=lambda _: None)


def test_it_does_not_wait_for_another_specialist(platform: Platform):
    put_run(platform.instance, **IN_PROGRESS)
    messages: list[str] = []
    wait_for_other_run(platform.instance, Specialist("business"), timeout_s=0.1, progress=messages.append)
    assert messages == []


def test_a_run_in_a_pod_is_tagged_with_the_pod():
    assert ".dagster/nhm_pod" not in in_process_tags(Settings())
    tags = in_process_tags(Settings(pod_name="a-job-x7k2p", pod_namespace="mlflow"))
    assert (tags[".dagster/nhm_pod"], tags[PROCESS_TAG]) == ("mlflow/a-job-x7k2p", this_process())
