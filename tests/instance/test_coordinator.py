"""The limit of one run per specialist also applies to runs that are requested by their partition key only."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from tests.support.dagster_internals import SubmitRunContext, create_run_for_test
from tests.support.retrainings import put_run
from tests.support.sqlite_instances import pooled_instance

COORDINATOR = {"module": "nhm_assets.instance.coordinator", "class": "SpecialistRunCoordinator"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    retries = {"enabled": True, "max_retries": 2}
    with pooled_instance(tmp_path, run_coordinator=COORDINATOR, run_retries=retries) as instance:
        yield instance


def submitted(instance: DagsterInstance, run_id: str) -> dict[str, str]:
    """Submit a run, and return its tags in the queue."""
    run = instance.get_run_by_id(run_id)
    # Only the daemon, which launches, needs a workspace.
    instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=None))
    queued = instance.get_run_by_id(run_id)
    assert queued.status is DagsterRunStatus.QUEUED
    return dict(queued.tags)


def bare_run(instance: DagsterInstance, job_name: str = "", **tags: str) -> str:
    """A run as a program creates it through GraphQL."""
    origin = instance.get_run_by_id(put_run(instance)).remote_job_origin
    named = {"job_name": job_name} if job_name else {}
    run = create_run_for_test(
        instance, status=DagsterRunStatus.NOT_STARTED, tags=tags, remote_job_origin=origin, **named
    )
    return run.run_id


def test_a_run_with_a_partition_key_only_gets_the_tags_of_its_specialist_and_week(instance: DagsterInstance):
    run_id = bare_run(instance, **{"dagster/partition": "business|2026-03-01"})
    tags = submitted(instance, run_id)
    assert (tags["dagster/partition/specialist"], tags["dagster/partition/week"]) == ("business", "2026-03-01")


@pytest.mark.parametrize("key", ["2026-03-01", "nobody|2026-03-01"])
def test_a_run_of_other_partitions_is_queued_unchanged(instance: DagsterInstance, key: str):
    assert "dagster/partition/specialist" not in submitted(instance, bare_run(instance, **{"dagster/partition": key}))


def test_a_run_without_a_partition_is_queued_unchanged(instance: DagsterInstance):
    assert "dagster/partition/specialist" not in submitted(instance, bare_run(instance))


def test_a_run_from_the_page_of_an_asset_follows_the_rules_of_the_job(instance: DagsterInstance):
    partition = {"dagster/partition": "business|2026-03-01"}
    of_page = bare_run(instance, job_name="__ASSET_JOB", **partition)
    rules = {
        "dagster/max_runtime": "14400",
        "dagster/retry_on_asset_or_op_failure": "false",
        "dagster/retry_strategy": "ALL_STEPS",
    }
    assert submitted(instance, of_page).items() >= rules.items()
    chosen = bare_run(instance, job_name="__ASSET_JOB", **partition, **{"dagster/max_runtime": "60"})
    assert submitted(instance, chosen)["dagster/max_runtime"] == "60"
    assert not submitted(instance, bare_run(instance, **partition)).keys() & rules.keys(), "the job has its own"


INHERITED = {
    "nhm/version": "7",
    ".dagster/nhm_process": "host:1",
    ".dagster/nhm_pod": "mlflow/a-pod",
    "nhm/trigger": "weekly:business|2026-03-01",
    ".dagster/nhm_asked_at": "2026-03-08T02:00:00+00:00",
    "nhm/actor": "weekly_retraining_schedule",
    "dagster/max_retries": "0",
}
"""Tags that Dagster copies to a rerun."""


def kept(tags: dict[str, str]) -> set[str]:
    return {name for name, value in INHERITED.items() if tags.get(name) == value}


def test_a_rerun_by_a_person_does_not_keep_what_is_true_of_the_first_run_only(instance: DagsterInstance):
    """Otherwise it would count as the schedule's, as dead like the first process, and would not be retried."""
    tags = submitted(instance, bare_run(instance, **INHERITED, **{"dagster/parent_run_id": "the-first"}))
    assert kept(tags) == set()
    assert tags["dagster/max_retries"] == "2"


def test_an_automatic_retry_keeps_its_trigger(instance: DagsterInstance):
    retry = {"dagster/parent_run_id": "the-first", "dagster/retry_number": "1"}
    tags = submitted(instance, bare_run(instance, **INHERITED, **retry))
    assert kept(tags) == {"nhm/trigger", ".dagster/nhm_asked_at", "nhm/actor", "dagster/max_retries"}


def test_a_backfill_waits_behind_schedule_sensors_and_people(instance: DagsterInstance):
    assert submitted(instance, bare_run(instance, **{"dagster/backfill": "old-weeks"}))["dagster/priority"] == "-1"
    chosen = {"dagster/backfill": "urgent", "dagster/priority": "5"}
    assert submitted(instance, bare_run(instance, **chosen))["dagster/priority"] == "5"
    assert "dagster/priority" not in submitted(instance, bare_run(instance))
