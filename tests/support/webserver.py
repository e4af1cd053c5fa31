"""Dagster's webserver as its pages use it: runs and backfills started through GraphQL."""

from dataclasses import dataclass
from typing import Any

import requests

from nhm_assets.domain.dagster_names import CODE_LOCATION, JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.runs.tags import PARTITION_TAG

_SELECTOR = {"repositoryLocationName": CODE_LOCATION, "repositoryName": "__repository__"}
_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
_BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
_RUN = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status endTime } } }"
_JOBS = "{ repositoriesOrError { ... on RepositoryConnection { nodes { pipelines { name } } } } }"


@dataclass(frozen=True)
class End:
    """How and when a run ended, in seconds since 1970."""

    status: str
    at: float


@dataclass(frozen=True)
class Webserver:
    """A webserver on a port of this machine."""

    port: int

    def launch(self, partition: Partition, **tags: str) -> str:
        """Start a run from the launchpad and return its id."""
        # The page first asks for the partition's tags, then sends all of them with the run.
        partition_tags = {
            PARTITION_TAG: str(partition.key),
            **{f"{PARTITION_TAG}/{name}": key for name, key in partition.key.keys_by_dimension.items()},
        }
        run_tags = [{"key": name, "value": value} for name, value in (partition_tags | tags).items()]
        params = {"selector": {**_SELECTOR, "jobName": JOB}, "executionMetadata": {"tags": run_tags}}
        return str(self._query(_LAUNCH, params=params)["launchPipelineExecution"]["run"]["runId"])

    def backfill(self, partitions: list[Partition]) -> str:
        """Start a backfill of the job and return its id."""
        selector = {"partitionSetName": f"{JOB}_partition_set", "repositorySelector": _SELECTOR}
        params = {"selector": selector, "partitionNames": [str(partition.key) for partition in partitions]}
        return str(self._query(_BACKFILL, params=params)["launchPartitionBackfill"]["backfillId"])

    def end_of(self, run_id: str) -> End | None:
        """How a run ended. None if it has not."""
        run = self._query(_RUN, id=run_id)["runOrError"]
        return End(run["status"], run["endTime"]) if run["endTime"] else None

    def is_ready(self) -> bool:
        """Whether it has loaded the code location and knows the job."""
        try:
            nodes = self._query(_JOBS)["repositoriesOrError"].get("nodes", [])
        except requests.RequestException:
            return False
        return any(job["name"] == JOB for node in nodes for job in node["pipelines"])

    def _query(self, query: str, **variables: Any) -> dict[str, Any]:
        response = requests.post(
            f"http://127.0.0.1:{self.port}/graphql", json={"query": query, "variables": variables}, timeout=300
        ).json()
        assert "errors" not in response, response["errors"]
        return dict(response["data"])
