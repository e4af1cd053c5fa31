"""A complete platform for one test: database, MLflow, storage and Dagster instance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult
from pymongo.database import Database

from nhm_assets.definitions import build_definitions
from nhm_assets.domain.dagster_names import JOB
from nhm_assets.domain.partitions import Partition
from nhm_assets.resource_factories import mlflow_of
from nhm_assets.settings import Settings
from resources.mlflow import Mlflow
from tests.support.documents import WEEK

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Platform:
    """Everything that a test needs to run the job and to look at the results."""

    settings: Settings
    database: Database[dict[str, Any]]
    instance: DagsterInstance

    @property
    def mlflow(self) -> Mlflow:
        return mlflow_of(self.settings)

    def with_settings(self, **changes: Any) -> "Platform":
        """The same platform with other settings."""
        return Platform(Settings(**(self.settings.model_dump() | changes)), self.database, self.instance)

    def retrain(
        self,
        specialist: str = "technical",
        week: str = WEEK,
        *,
        only: list[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> ExecuteInProcessResult:
        """Run the job for one partition. `only` names the assets to materialize, with their own checks."""
        job = build_definitions(self.settings).resolve_job_def(JOB)
        return job.execute_in_process(
            partition_key=Partition.parse(week, specialist).key,
            instance=self.instance,
            raise_on_error=False,
            run_config={**QUIET, **(config or {})},
            asset_selection=[AssetKey(name) for name in only] if only else None,
        )

    def tags(self, result: ExecuteInProcessResult) -> dict[str, str]:
        """The current tags of a run."""
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        return dict(run.tags)

    def observed(self, asset: str) -> dict[str, Any]:
        """What was last observed of an external asset; tables as their records."""
        (record,) = self.instance.fetch_observations(AssetKey(asset), limit=1).records
        assert record.asset_observation
        metadata = record.asset_observation.metadata
        return {name: getattr(entry, "records", entry.value) for name, entry in metadata.items()}


def failed_step(result: ExecuteInProcessResult) -> tuple[str, str]:
    """The step that failed, and the message of its error."""
    event = next(event for event in result.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    return str(event.step_key), (error.cause or error).message


def verdicts(result: ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each check of a run passed, by its name."""
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}


def failed_checks(result: ExecuteInProcessResult) -> list[str]:
    """The checks that failed in a run; without `features_as_served`, as the documents of tests have no features."""
    return [name for name, passed in verdicts(result).items() if not passed and name != "features_as_served"]
