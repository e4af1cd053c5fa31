"""One run at a time per specialist holds for runs that were asked for by their partition alone, too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.test_utils import create_run_for_test

from tests.support.retrainings import put_run

COORDINATOR = {"module": "nhm_assets.run_coordinator", "class": "SpecialistRunCoordinator"}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    overrides = {"run_coordinator": COORDINATOR, "telemetry": {"enabled": False}}
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
