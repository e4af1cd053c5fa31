"""Ends MLflow runs that are still open though their Dagster run has ended, because MLflow was down then."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nhm_assets.domain.partitions import Partition
from nhm_assets.registry.vocabulary import DAGSTER_RUN_TAG, PARTITION_TAG, TRIAL_OF_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient


def end_stale_runs(
    client: "MlflowClient", experiment_id: str, partition: Partition, has_ended: Callable[[str], bool]
) -> list[str]:
    """End this partition's MLflow runs that are still open though their Dagster run has ended.

    Args:
        client: of MLflow.
        experiment_id: experiment of the specialist.
        partition: only its runs are ended.
        has_ended: whether the Dagster run with this id has ended or is unknown.

    Returns:
        The ids of the ended runs; their status is KILLED.
    """
    query = f"attributes.status = 'RUNNING' and tags.`{PARTITION_TAG}` = '{partition.key}'"
    ended = []
    for run in client.search_runs([experiment_id], query):
        tags = run.data.tags
        if has_ended(tags.get(DAGSTER_RUN_TAG) or tags.get(TRIAL_OF_TAG, "")):
            client.set_terminated(run.info.run_id, "KILLED")
            ended.append(run.info.run_id)
    return ended
