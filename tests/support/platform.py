"""A whole platform for one test: a database of its own, MLflow, storage and a Dagster instance."""

from dataclasses import dataclass
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult
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
    """What a test works with. `database` is read and written directly, `mlflow` like the platform does."""

    settings: Settings
    database: Database[dict[str, Any]]
    instance: DagsterInstance

    @property
    def mlflow(self) -> Mlflow:
        return mlflow_of(self.settings)

    def with_settings(self, **changes: Any) -> "Platform":
        """The same platform under other settings."""
        return Platform(Settings(**(self.settings.model_dump() | changes)), self.database, self.instance)

    def retrain(
        self, specialist: str = "technical", week: str = WEEK, *, only: list[str] | None = None
    ) -> ExecuteInProcessResult:
        """Run the job for one partition; `only` names the assets to materialize, with their own checks."""
        from dagster import AssetKey

        job = build_definitions(self.settings).resolve_job_def(JOB)
        return job.execute_in_process(
            partition_key=Partition.parse(week, specialist).key,
            instance=self.instance,
            raise_on_error=False,
            run_config=QUIET,
            asset_selection=[AssetKey(name) for name in only] if only else None,
        )

    def tags(self, result: ExecuteInProcessResult) -> dict[str, str]:
        """The tags of a run, as they stand now."""
        run = self.instance.get_run_by_id(result.run_id)
        assert run is not None
        return dict(run.tags)


def failed_step(result: ExecuteInProcessResult) -> tuple[str, str]:
    """The step that failed and the message of what was raised in it."""
    event = next(event for event in result.all_events if event.is_step_failure)
    error = event.step_failure_data.error
    return str(event.step_key), (error.cause or error).message


def verdicts(result: ExecuteInProcessResult) -> dict[str, bool]:
    """Check name -> whether it passed, for the checks of a run."""
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
