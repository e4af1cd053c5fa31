"""The next run of a partition ends its open MLflow runs whose Dagster run has ended, and no others."""

import uuid

import pytest
from dagster import DagsterRun, DagsterRunStatus

from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.registry.vocabulary import DAGSTER_RUN_TAG, PARTITION_TAG
from nhm_assets.training.stale_runs import end_stale_runs
from tests.support.documents import WEEK
from tests.support.learnable import learnable, store_dataset
from tests.support.platform import Platform
from tests.support.versions import Versions

OURS = Partition.parse(WEEK, "technical")
EARLIER = Partition.parse("2026-02-22", "technical")


@pytest.fixture
def experiment(versions: Versions) -> str:
    return versions.client.create_experiment(uuid.uuid4().hex)


def open_run(client, experiment: str, partition: Partition, dagster_run: str | None) -> str:
    tags = {PARTITION_TAG: str(partition.key)} | ({DAGSTER_RUN_TAG: dagster_run} if dagster_run else {})
    return client.create_run(experiment, tags=tags).info.run_id


def status(client, run_id: str) -> str:
    return client.get_run(run_id).info.status


def test_only_open_runs_of_the_partition_whose_dagster_run_has_ended_are_ended(versions, experiment):
    client = versions.client
    stale, living = (open_run(client, experiment, OURS, name) for name in ("ended", "living"))
    foreign = open_run(client, experiment, EARLIER, "ended")
    finished = open_run(client, experiment, OURS, "ended")
    client.set_terminated(finished, "FINISHED")
    assert end_stale_runs(client, experiment, OURS, lambda run: run == "ended") == [stale]
    assert [status(client, run) for run in (stale, living, foreign, finished)] == [
        "KILLED",
        "RUNNING",
        "RUNNING",
        "FINISHED",
    ]


def test_a_run_without_a_dagster_run_is_checked_too(versions, experiment):
    nameless = open_run(versions.client, experiment, OURS, None)
    assert end_stale_runs(versions.client, experiment, OURS, lambda run: run == "") == [nameless]


def test_the_next_run_of_the_partition_ends_runs_of_dead_runs_and_not_of_running_ones(platform: Platform):
    states = {"failed": DagsterRunStatus.FAILURE, "living": DagsterRunStatus.STARTED}
    dagster_runs = {name: str(uuid.uuid4()) for name in (*states, "unknown")}
    for name, state in states.items():
        platform.instance.add_run(DagsterRun(job_name=JOB, run_id=dagster_runs[name], status=state))
    experiment = platform.mlflow.experiment_id("technical-specialist")
    with platform.mlflow.client() as client:
        left = {name: open_run(client, experiment, OURS, run_id) for name, run_id in dagster_runs.items()}
    store_dataset(platform, learnable())
    assert platform.retrain(only=["trained_model"]).success
    with platform.mlflow.client() as client:
        found = {name: status(client, run) for name, run in left.items()}
    assert found == {"failed": "KILLED", "unknown": "KILLED", "living": "RUNNING"}
