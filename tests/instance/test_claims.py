"""A request gets one run, and a run one process and one retry, however many daemons do the same at the same time."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterInvariantViolationError,
    DagsterRun,
    DagsterRunStatus,
)
from sqlalchemy import select, update

from nhm_assets.instance.claims import claim_launch, claim_request, claim_retry, delete_unsubmitted, release_launch
from nhm_assets.runs.tags import PROCESS_TAG
from tests.support.daemon import becomes_true
from tests.support.dagster_internals import (
    KeyValueStoreTable,
    LaunchRunContext,
    ModuleTarget,
    SubmitRunContext,
    create_run_for_test,
    create_test_daemon_workspace_context,
)
from tests.support.processes import ROOT
from tests.support.retrainings import put_run


@pytest.fixture(params=["local", pytest.param("postgres", marks=pytest.mark.servers)])
def daemons(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[DagsterInstance]]:
    """Two daemons' views of one instance."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "3")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    if request.param == "postgres":
        for name, value in request.getfixturevalue("postgres").new_database(f"dagster_{uuid.uuid4().hex[:12]}").items():
            monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / request.param / "dagster.yaml").read_text())
    with ExitStack() as opened:
        yield [opened.enter_context(DagsterInstance.from_config(str(tmp_path))) for _ in range(2)]


def claimed_launches(instance: DagsterInstance) -> list[str]:
    """Ids of the runs whose launch is claimed."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        keys = connection.execute(select(KeyValueStoreTable.c.key)).scalars()
        return sorted(key.removeprefix("nhm/claims/launch/") for key in keys if key.startswith("nhm/claims/launch/"))


def test_if_several_claim_a_launch_at_once_one_succeeds(daemons):
    rounds, claimants = 20, 4
    together = Barrier(claimants)

    def claims(number: int) -> list[bool]:
        got = []
        for run in range(rounds):
            together.wait()
            got.append(claim_launch(daemons[number % 2], f"run-{run}"))
        return got

    with ThreadPoolExecutor(claimants) as pool:
        by_claimant = list(pool.map(claims, range(claimants)))
    assert [sum(of_run) for of_run in zip(*by_claimant, strict=True)] == [1] * rounds


def test_a_failed_launch_can_be_claimed_again(daemons):
    one, other = daemons
    assert claim_launch(one, "run")
    release_launch(one, "run")
    assert claim_launch(other, "run")
    assert not claim_launch(one, "run")


def test_all_that_claim_a_retry_get_the_same_answer(daemons):
    retries = ["first", "second", "third", "fourth"]
    together = Barrier(len(retries))

    def chosen(number: int) -> str:
        together.wait()
        return claim_retry(daemons[number % 2], "failed", retries[number])

    with ThreadPoolExecutor(len(retries)) as pool:
        answers = set(pool.map(chosen, range(len(retries))))
    assert len(answers) == 1
    assert answers <= set(retries)
    assert claim_retry(daemons[0], "another", "second") == "second"


def test_if_two_daemons_retry_a_run_one_retry_is_queued_and_the_other_is_canceled(daemons):
    failed = put_run(daemons[0], status=DagsterRunStatus.FAILURE)
    retry = {"status": DagsterRunStatus.NOT_STARTED, "parent": failed, "tags": {"dagster/retry_number": "1"}}
    made = [put_run(daemon, **retry) for daemon in daemons]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(submit, daemons, made))
    ends = {run.status: run for run in map(daemons[0].get_run_by_id, made)}
    assert ends.keys() == {DagsterRunStatus.QUEUED, DagsterRunStatus.CANCELED}
    canceled = ends[DagsterRunStatus.CANCELED]
    assert canceled.tags[".dagster/nhm_reported"] == canceled.run_id, "nobody is notified of it"
    assert "another daemon has already retried the same run" in cancelation_message(daemons[0], canceled)


def test_a_retry_that_is_submitted_twice_is_not_canceled(daemons):
    """This happens if the daemon dies in between."""
    failed = put_run(daemons[0], status=DagsterRunStatus.FAILURE)
    run_id = put_run(daemons[0], status=DagsterRunStatus.NOT_STARTED, parent=failed, tags={"dagster/retry_number": "1"})
    for daemon in daemons:
        daemon.run_coordinator.submit_run(SubmitRunContext(daemon.get_run_by_id(run_id), workspace=None))
    assert daemons[0].get_run_by_id(run_id).status is DagsterRunStatus.QUEUED


def requested(instance: DagsterInstance, key: str = "weekly:technical|2026-03-01") -> str:
    """A run that a schedule or sensor has created, and not submitted."""
    return put_run(instance, status=DagsterRunStatus.NOT_STARTED, tags={"dagster/run_key": key})


def submit(instance: DagsterInstance, run_id: str) -> DagsterRunStatus | None:
    """Submit a run. Returns its status then; None if it does not exist any more."""
    instance.run_coordinator.submit_run(SubmitRunContext(instance.get_run_by_id(run_id), workspace=None))
    run = instance.get_run_by_id(run_id)
    return run.status if run else None


def test_if_two_daemons_create_a_run_of_the_same_request_one_is_queued_and_the_other_leaves_no_trace(
    daemons, monkeypatch
):
    monkeypatch.setattr("nhm_assets.instance.coordinator._SUBMITTED_WITHIN_S", 120)
    made = [requested(daemon) for daemon in daemons]
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(submit, daemons, made))
    assert set(statuses) == {DagsterRunStatus.QUEUED, None}
    assert [run.status for run in daemons[0].get_runs()] == [DagsterRunStatus.QUEUED]


def test_a_requested_run_that_is_submitted_twice_is_kept(daemons):
    """A daemon that finds a run that was created and never submitted submits that run."""
    run_id = requested(daemons[0])
    assert [submit(daemon, run_id) for daemon in daemons] == [DagsterRunStatus.QUEUED] * 2


def launched(instance: DagsterInstance, run_id: str) -> None:
    """What a daemon does with a queued run: its process has a tag."""
    assert submit(instance, run_id) is DagsterRunStatus.QUEUED
    instance.add_run_tags(run_id, {PROCESS_TAG: "host:1"})
    run = instance.get_run_by_id(run_id)
    started = DagsterEvent(DagsterEventType.PIPELINE_STARTING.value, run.job_name)
    instance.report_dagster_event(started, run_id)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_run_that_another_daemon_has_launched_is_not_queued_again(daemons, monkeypatch, *, meanwhile: bool):
    one, other = daemons
    run_id = requested(one)
    seen_by_other = SubmitRunContext(other.get_run_by_id(run_id), workspace=None)
    if meanwhile:

        def slowly(*of: Any) -> str:
            monkeypatch.setattr("nhm_assets.instance.coordinator.claim_request", claim_request)
            launched(one, run_id)
            return claim_request(*of)

        monkeypatch.setattr("nhm_assets.instance.coordinator.claim_request", slowly)
    else:
        launched(one, run_id)
    assert other.run_coordinator.submit_run(seen_by_other).status is DagsterRunStatus.STARTING
    run = one.get_run_by_id(run_id)
    assert (run.status, run.tags[PROCESS_TAG]) == (DagsterRunStatus.STARTING, "host:1")


def test_a_run_that_is_deleted_while_its_slow_daemon_submits_it_stays_deleted(daemons, monkeypatch):
    """So does another daemon that took over the request."""
    one, other = daemons

    def slowly(instance: DagsterInstance, key: str, run_id: str) -> str:
        other.delete_run(run_id)
        return claim_request(instance, key, run_id)

    monkeypatch.setattr("nhm_assets.instance.coordinator.claim_request", slowly)
    assert submit(one, requested(one)) is None
    assert one.get_runs() == []


def test_a_request_is_repeated_if_its_first_run_was_deleted(daemons):
    first = requested(daemons[0])
    submit(daemons[0], first)
    daemons[0].delete_run(first)
    assert submit(daemons[1], requested(daemons[1])) is DagsterRunStatus.QUEUED


def test_if_two_daemons_repeat_the_request_of_a_deleted_run_one_run_is_left(daemons, monkeypatch):
    monkeypatch.setattr("nhm_assets.instance.coordinator._SUBMITTED_WITHIN_S", 120)
    first = requested(daemons[0])
    submit(daemons[0], first)
    daemons[0].delete_run(first)
    made = [requested(daemon) for daemon in daemons]
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(submit, daemons, made)) == {DagsterRunStatus.QUEUED, None}
    assert [run.status for run in daemons[0].get_runs()] == [DagsterRunStatus.QUEUED]


def test_a_request_is_repeated_if_the_daemon_of_its_first_run_died_before_that_was_in_the_queue(daemons, monkeypatch):
    monkeypatch.setattr("nhm_assets.instance.coordinator._SUBMITTED_WITHIN_S", 0.2)
    claim_request(daemons[0], "volume:1", requested(daemons[0], "volume:1"))
    second = requested(daemons[1], "volume:1")
    assert submit(daemons[1], second) is DagsterRunStatus.QUEUED
    # The first one would be retried when its time to start is over.
    assert [run.run_id for run in daemons[0].get_runs()] == [second]
    assert submit(daemons[0], requested(daemons[0], "volume:1")) is None, "the second one has the claim"


def test_the_first_run_of_a_request_stays_if_its_daemon_was_only_slow(daemons, monkeypatch):
    monkeypatch.setattr("nhm_assets.instance.coordinator._SUBMITTED_WITHIN_S", 0.2)
    first = requested(daemons[0])
    claim_request(daemons[0], "weekly:technical|2026-03-01", first)

    def too_late(instance: DagsterInstance, run_id: str) -> bool:
        submit(daemons[0], run_id)
        return delete_unsubmitted(instance, run_id)

    monkeypatch.setattr("nhm_assets.instance.coordinator.delete_unsubmitted", too_late)
    assert submit(daemons[1], requested(daemons[1])) is None
    assert [(run.run_id, run.status) for run in daemons[0].get_runs()] == [(first, DagsterRunStatus.QUEUED)]


def test_a_rerun_by_a_person_is_no_repeated_request(daemons):
    first = requested(daemons[0])
    submit(daemons[0], first)
    tags = {"dagster/run_key": "weekly:technical|2026-03-01"}
    rerun = put_run(daemons[0], status=DagsterRunStatus.NOT_STARTED, parent=first, tags=tags)
    assert submit(daemons[0], rerun) is DagsterRunStatus.QUEUED


def cancelation_message(instance: DagsterInstance, run: DagsterRun) -> str:
    """The message of the event that canceled a run."""
    (entry,) = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_CANCELED)
    assert entry.dagster_event
    return entry.dagster_event.message or ""


def test_claims_expire_after_a_day_and_cursors_never(daemons):
    one, _ = daemons
    one.daemon_cursor_storage.set_cursor_values({"a daemon's cursor": "2020-01-01"})
    assert claim_launch(one, "old")
    yesterday = datetime.now(UTC) - timedelta(days=1, minutes=1)
    with one.run_storage.connect() as connection:
        old = KeyValueStoreTable.c.key == "nhm/claims/launch/old"
        connection.execute(update(KeyValueStoreTable).where(old).values(value=yesterday.isoformat()))
    assert claim_launch(one, "new")
    assert claimed_launches(one) == ["new"]
    assert one.daemon_cursor_storage.get_cursor_values({"a daemon's cursor"}) == {"a daemon's cursor": "2020-01-01"}


def started_processes(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """The messages in the log about processes that were started for a run."""
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
    messages = [entry.dagster_event.message or "" for entry in entries if entry.dagster_event]
    return [message for message in messages if message.startswith("Started process for run")]


@pytest.mark.servers
@pytest.mark.slow
def test_a_run_that_two_daemons_launch_gets_one_process_and_succeeds(daemons):
    one, other = daemons
    with create_test_daemon_workspace_context(ModuleTarget("tests.support.short_job", None, None, "short"), one) as at:
        workspace = at.create_request_context()
        location = workspace.get_code_location("short")
        job = next(iter(location.get_repositories().values())).get_full_job("short")
        run = create_run_for_test(
            one,
            job_name="short",
            status=DagsterRunStatus.STARTING,
            remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(),
        )
        for daemon in (one, other):
            daemon.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=workspace))
        assert becomes_true(lambda: one.get_run_by_id(run.run_id).is_finished)
        assert one.get_run_by_id(run.run_id).status is DagsterRunStatus.SUCCESS
        assert len(started_processes(one, run)) == 1, started_processes(one, run)


def test_a_launch_that_fails_releases_its_claim(daemons):
    one, _ = daemons
    run = one.add_run(DagsterRun(job_name="short", status=DagsterRunStatus.STARTING))
    with pytest.raises(DagsterInvariantViolationError, match="requires a workspace"):
        one.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    assert claimed_launches(one) == []
