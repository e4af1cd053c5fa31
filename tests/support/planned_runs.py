"""Runs as the daemon creates them: Dagster has announced their assets and checks, and nothing has been executed."""

from dagster import DagsterInstance, DagsterRun

from nhm_assets.definitions import defs
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.runs.queries import PARTITION_TAG, dimension_tags


def planned_run(instance: DagsterInstance, partition: Partition) -> DagsterRun:
    """A retraining of this partition that has not been queued yet."""
    tags = {PARTITION_TAG: str(partition.key), **dimension_tags(partition)}
    return instance.create_run_for_job(defs.resolve_job_def(JOB), tags=tags)
