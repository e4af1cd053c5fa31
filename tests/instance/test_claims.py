"""A run gets one process, and is started over once, whatever number of daemons reads its status at the same moment."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import LaunchRunContext
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.storage.runs.schema import KeyValueStoreTable
from dagster._core.test_utils import create_run_for_test, create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from sqlalchemy import select, update

from nhm_assets.instance.claims import claim_launch, claim_retry, release_launch
from tests.support.daemon import becomes_true
from tests.support.processes import ROOT
from tests.support.retrainings import put_run


@pytest.fixture(params=["local", pytest.param("postgres", marks=pytest.mark.slow)])
def daemons(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[DagsterInstance]]:
    """Two daemons' views of one instance."""
    monkeypatch.setenv("MAX_CONCURRENT_RUNS", "3")
    if request.param == "postgres":
        for name, value in request.getfixturevalue("postgres").new_database(f"dagster_{uuid.uuid4().hex[:12]}").items():
            monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text((ROOT / "deploy" / request.param / "dagster.yaml").read_text())
    with ExitStack() as opened:
        yield [opened.enter_context(DagsterInstance.from_config(str(tmp_path))) for _ in range(2)]


def remembered(instance: DagsterInstance) -> list[str]:
    """The runs whose launch is claimed."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        keys = connection.execute(select(KeyValueStoreTable.c.key)).scalars()
        return sorted(key.removeprefix("nhm/claims/launch/") for key in keys if key.startswith("nhm/claims/launch/"))


def test_of_all_that_claim_a_launch_at_once_one_gets_it(daemons):
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


def test_a_launch_that_failed_may_be_claimed_again(daemons):
    one, other = daemons
    assert claim_launch(one, "run")
    release_launch(one, "run")
    assert claim_launch(other, "run")
    assert not claim_launch(one, "run")


def test_all_that_would_start_a_run_over_agree_on_the_one_that_does(daemons):
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


def test_of_two_daemons_that_start_a_run_over_one_queues_its_retry_and_the_other_gives_it_up(daemons):
    failed = put_run(daemons[0], status=DagsterRunStatus.FAILURE)
    retry = {"status": DagsterRunStatus.NOT_STARTED, "parent": failed, "tags": {"dagster/retry_number": "1"}}
    made = [put_run(daemon, **retry) for daemon in daemons]

    def submit(number: int) -> None:
        run = daemons[number].get_run_by_id(made[number])
        daemons[number].run_coordinator.submit_run(SubmitRunContext(run, workspace=None))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(submit, range(2)))
    ends = {run.status: run for run in map(daemons[0].get_run_by_id, made)}
    assert ends.keys() == {DagsterRunStatus.QUEUED, DagsterRunStatus.CANCELED}
    given_up = ends[DagsterRunStatus.CANCELED]
    assert given_up.tags["nhm/reported"] == given_up.run_id, "nobody is to be told of it"
    assert "Another daemon has started the run over" in last_words(daemons[0], given_up)


def test_a_retry_that_is_handed_over_twice_is_not_given_up(daemons):
    """A daemon that died in between does so."""
    failed = put_run(daemons[0], status=DagsterRunStatus.FAILURE)
    run_id = put_run(daemons[0], status=DagsterRunStatus.NOT_STARTED, parent=failed, tags={"dagster/retry_number": "1"})
    for daemon in daemons:
        daemon.run_coordinator.submit_run(SubmitRunContext(daemon.get_run_by_id(run_id), workspace=None))
    assert daemons[0].get_run_by_id(run_id).status is DagsterRunStatus.QUEUED


def last_words(instance: DagsterInstance, run: DagsterRun) -> str:
    """What the log says of a run's cancelation."""
    (entry,) = instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_CANCELED)
    assert entry.dagster_event
    return entry.dagster_event.message or ""


def test_claims_are_forgotten_after_a_day_and_cursors_never(daemons):
    one, _ = daemons
    one.daemon_cursor_storage.set_cursor_values({"a daemon's cursor": "2020-01-01"})
    assert claim_launch(one, "old")
    yesterday = datetime.now(UTC) - timedelta(days=1, minutes=1)
    with one.run_storage.connect() as connection:
        old = KeyValueStoreTable.c.key == "nhm/claims/launch/old"
        connection.execute(update(KeyValueStoreTable).where(old).values(value=yesterday.isoformat()))
    assert claim_launch(one, "new")
    assert remembered(one) == ["new"]
    assert one.daemon_cursor_storage.get_cursor_values({"a daemon's cursor"}) == {"a daemon's cursor": "2020-01-01"}


def processes(instance: DagsterInstance, run: DagsterRun) -> list[str]:
    """What the log says of processes started for a run."""
    entries = instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
    said = [entry.dagster_event.message or "" for entry in entries if entry.dagster_event]
    return [message for message in said if message.startswith("Started process for run")]


@pytest.mark.slow
def test_a_run_that_two_daemons_launch_gets_one_process_and_ends_well(daemons):
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
        assert becomes_true(lambda: one.get_run_by_id(run.run_id).is_finished, timeout_s=60)
        assert one.get_run_by_id(run.run_id).status is DagsterRunStatus.SUCCESS
        assert len(processes(one, run)) == 1, processes(one, run)


def test_a_launch_that_fails_is_not_remembered(daemons):
    one, _ = daemons
    run = one.add_run(DagsterRun(job_name="short", status=DagsterRunStatus.STARTING))
    with pytest.raises(Exception, match="requires a workspace"):
        one.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    assert remembered(one) == []
