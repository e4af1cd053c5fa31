"""One run at a time per specialist holds for runs that were asked for by their partition alone, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.test_utils import create_run_for_test

from tests.support.retrainings import put_run

COORDINATOR = {"module": "nhm_assets.instance.coordinator", "class": "SpecialistRunCoordinator"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    retries = {"enabled": True, "max_retries": 2}
    overrides = {"run_coordinator": COORDINATOR, "run_retries": retries, "telemetry": {"enabled": False}}
    with DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        yield instance


def submitted(instance: DagsterInstance, run_id: str) -> dict[str, str]:
    """The tags of a run once it is queued."""
    run = instance.get_run_by_id(run_id)
    # The queue looks at no workspace: it is the daemon that launches.
    instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=None))
    queued = instance.get_run_by_id(run_id)
    assert queued.status is DagsterRunStatus.QUEUED
    return dict(queued.tags)


def bare_run(instance: DagsterInstance, **tags: str) -> str:
    """A run as a program makes one through GraphQL."""
    origin = instance.get_run_by_id(put_run(instance)).remote_job_origin
    run = create_run_for_test(instance, status=DagsterRunStatus.NOT_STARTED, tags=tags, remote_job_origin=origin)
    return run.run_id


def test_a_run_that_names_its_partition_alone_counts_for_the_specialist(instance: DagsterInstance):
    run_id = bare_run(instance, **{"dagster/partition": "business|2026-03-01"})
    tags = submitted(instance, run_id)
    assert (tags["dagster/partition/specialist"], tags["dagster/partition/week"]) == ("business", "2026-03-01")


@pytest.mark.parametrize("key", ["2026-03-01", "nobody|2026-03-01"])
def test_a_run_of_other_partitions_is_queued_as_it_is(instance: DagsterInstance, key: str):
    assert "dagster/partition/specialist" not in submitted(instance, bare_run(instance, **{"dagster/partition": key}))


def test_a_run_of_no_partition_is_queued_as_it_is(instance: DagsterInstance):
    assert "dagster/partition/specialist" not in submitted(instance, bare_run(instance))


OF_ANOTHER_RUN = {
    "nhm/process": "host:1",
    "nhm/pod": "mlflow/a-pod",
    "nhm/trigger": "weekly:business|2026-03-01",
    "nhm/asked_at": "2026-03-08T02:00:00+00:00",
    "nhm/actor": "weekly_retraining_schedule",
    "dagster/max_retries": "0",
}
"""Tags that Dagster hands on to a run that is started again."""


def still_there(tags: dict[str, str]) -> set[str]:
    return {name for name, value in OF_ANOTHER_RUN.items() if tags.get(name) == value}


def test_a_run_that_a_person_starts_again_is_nobody_elses(instance: DagsterInstance):
    """It would be taken for the schedule's, for dead like the first one's process, and be retried as seldom."""
    tags = submitted(instance, bare_run(instance, **OF_ANOTHER_RUN, **{"dagster/parent_run_id": "the-first"}))
    assert still_there(tags) == set()
    assert tags["dagster/max_retries"] == "2"


def test_a_run_that_is_retried_since_its_process_died_stays_its_triggers(instance: DagsterInstance):
    again = {"dagster/parent_run_id": "the-first", "dagster/retry_number": "1"}
    tags = submitted(instance, bare_run(instance, **OF_ANOTHER_RUN, **again))
    assert still_there(tags) == {"nhm/trigger", "nhm/asked_at", "nhm/actor", "dagster/max_retries"}
