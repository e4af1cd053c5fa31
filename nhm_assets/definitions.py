"""The code location: brings together assets, checks, jobs, schedules, sensors and resources.

Importing it reads environment variables, but uses neither the network nor any files. It chooses the form of log lines
too (LOG_FORMAT), because this is the only code of ours that every process of Dagster runs before it executes a run.
"""

from importlib.metadata import version

from dagster import AssetKey, AssetsDefinition, AssetSpec, Definitions, map_asset_specs, mem_io_manager

from nhm_assets.automation.ab_job import ab_test_job
from nhm_assets.automation.replay_job import replay_job
from nhm_assets.automation.retention_job import retention, retention_schedule
from nhm_assets.automation.retraining_job import retraining_job
from nhm_assets.automation.rollback_job import rollback_job
from nhm_assets.automation.served_quality_job import served_quality_job, served_quality_schedule
from nhm_assets.automation.weekly_schedule import weekly_schedule
from nhm_assets.domain.allocator import give_memory_back
from nhm_assets.domain.asset_keys import (
    EVALUATION_REPORT,
    FEEDBACK_DATASET,
    PROMOTED_VERSION,
    SERVED_QUALITY,
    SPECIALIST_ROLLOUT,
    TRAINED_MODEL,
)
from nhm_assets.domain.dagster_names import IN_MEMORY
from nhm_assets.domain.dataset_schema import IDS
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.evaluation.assets import evaluation_report
from nhm_assets.feedback.assets import feedback_dataset
from nhm_assets.feedback.checks import feedback_dataset_checks
from nhm_assets.feedback.collection_assets import feedback_quarantine, read_collections
from nhm_assets.instance.run_pods import executor_of
from nhm_assets.promotion.assets import promoted_version
from nhm_assets.promotion.checks import promoted_version_checks
from nhm_assets.promotion.production_models import production_models
from nhm_assets.resource_factories import kubernetes_of, mlflow_of, mongo_of, notifiers_of
from nhm_assets.rollout.assets import specialist_rollout
from nhm_assets.runs.log_lines import use_log_format
from nhm_assets.served.assets import served_quality
from nhm_assets.settings import Settings
from nhm_assets.steps.asset_pages import with_page
from nhm_assets.steps.resource_pages import shown, shown_storage
from nhm_assets.training.assets import trained_model
from nhm_assets.training.checks import trained_model_checks
from nhm_assets.training.code_version import code_version
from resources.notifiers import Notifier
from resources.storage import FrameIOManager, RecordIOManager
from sensors.drift import drift_sensor
from sensors.feedback_volume import feedback_volume_sensor
from sensors.lost_retries import lost_retry_sensor
from sensors.registry import registry_sensor
from sensors.run_status import retraining_outcome_sensor


def build_definitions(settings: Settings) -> Definitions:
    """The code location with these settings.

    Resources are plain objects without Dagster configuration: Dagster shows and stores configuration, and addresses
    contain passwords.
    """
    executor = executor_of(settings)
    assets: list[AssetSpec | AssetsDefinition] = [
        *read_collections,
        feedback_quarantine,
        feedback_dataset,
        trained_model,
        evaluation_report,
        promoted_version,
        production_models,
        specialist_rollout,
        served_quality,
    ]
    versions = _code_versions()
    return Definitions(
        assets=map_asset_specs(lambda spec: with_page(spec, settings, versions), assets),
        asset_checks=[feedback_dataset_checks, trained_model_checks, promoted_version_checks],
        jobs=[
            retraining_job(settings, executor),
            served_quality_job(executor),
            rollback_job(settings, all_specialists()),
            replay_job(settings, all_specialists()),
            ab_test_job(settings, all_specialists()),
            retention,
        ],
        schedules=[weekly_schedule(), served_quality_schedule, retention_schedule],
        sensors=[feedback_volume_sensor, drift_sensor, retraining_outcome_sensor, lost_retry_sensor, registry_sensor],
        # For runs without a job, started from an asset's page.
        executor=executor,
        resources={
            "settings": shown(settings, "Environment variables of the process; `nhm settings` lists them."),
            "mongo": shown(mongo_of(settings), "MongoDB: feedback, opinions, plans, features, audit log."),
            "mlflow": shown(mlflow_of(settings), "MLflow: training runs and model registry."),
            "kubernetes": shown(kubernetes_of(settings), "The cluster of the specialists, if one is configured."),
            "notifiers": shown(notifiers_of(settings), "Receivers of outcomes, by NOTIFY_URLS.", Notifier),
            IN_MEMORY: mem_io_manager,
            "frames": shown_storage(FrameIOManager(settings.storage, IDS), "Datasets as Parquet, in NHM_STORAGE."),
            "records": shown_storage(RecordIOManager(settings.storage), "Records as JSON, in NHM_STORAGE."),
        },
    )


def _code_versions() -> dict[AssetKey, str]:
    """The code version of each asset that is made here.

    What is computed has a digest of the code that computes it; a decision, the release.
    """
    computed = dict.fromkeys((FEEDBACK_DATASET, TRAINED_MODEL), code_version())
    decided = dict.fromkeys(
        (EVALUATION_REPORT, PROMOTED_VERSION, SPECIALIST_ROLLOUT, SERVED_QUALITY), version("nhm-assets")
    )
    return computed | decided


_settings = Settings.load()
use_log_format(_settings)
give_memory_back()
defs = build_definitions(_settings)
