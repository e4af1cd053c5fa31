"""The code location: brings together assets, checks, jobs, schedules, sensors and resources.

Importing it reads environment variables, but uses neither the network nor any files.
"""

from dagster import Definitions, ResourceDefinition, mem_io_manager

from nhm_assets.automation.replay_job import replay_job
from nhm_assets.automation.retention_job import retention, retention_schedule
from nhm_assets.automation.retraining_job import retraining_job
from nhm_assets.automation.rollback_job import rollback_job
from nhm_assets.automation.served_quality_job import served_quality_job, served_quality_schedule
from nhm_assets.automation.weekly_schedule import weekly_schedule
from nhm_assets.domain.dagster_names import IN_MEMORY
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.evaluation.assets import evaluation_report
from nhm_assets.feedback.assets import feedback_dataset
from nhm_assets.feedback.checks import feedback_dataset_checks
from nhm_assets.feedback.collection_assets import feedback_quarantine, read_collections
from nhm_assets.instance.run_pods import executor_of
from nhm_assets.promotion.assets import promoted_version
from nhm_assets.promotion.checks import promoted_version_checks
from nhm_assets.resource_factories import kubernetes_of, mlflow_of, mongo_of, notifiers_of
from nhm_assets.rollout.assets import specialist_rollout
from nhm_assets.served.assets import served_quality
from nhm_assets.settings import Settings
from nhm_assets.training.assets import trained_model
from nhm_assets.training.checks import trained_model_checks
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
    return Definitions(
        assets=[
            *read_collections,
            feedback_quarantine,
            feedback_dataset,
            trained_model,
            evaluation_report,
            promoted_version,
            specialist_rollout,
            served_quality,
        ],
        asset_checks=[feedback_dataset_checks, trained_model_checks, promoted_version_checks],
        jobs=[
            retraining_job(settings, executor),
            served_quality_job(executor),
            rollback_job(settings, all_specialists()),
            replay_job(settings, all_specialists()),
            retention,
        ],
        schedules=[weekly_schedule(), served_quality_schedule, retention_schedule],
        sensors=[feedback_volume_sensor, drift_sensor, retraining_outcome_sensor, lost_retry_sensor, registry_sensor],
        # For runs without a job, started from an asset's page.
        executor=executor,
        resources={
            "settings": ResourceDefinition.hardcoded_resource(settings, "Settings of the process."),
            "mongo": ResourceDefinition.hardcoded_resource(mongo_of(settings), "Feedback, opinions, plans, audit log."),
            "mlflow": ResourceDefinition.hardcoded_resource(mlflow_of(settings), "Training runs and model registry."),
            "kubernetes": ResourceDefinition.hardcoded_resource(kubernetes_of(settings), "The specialists' cluster."),
            "notifiers": ResourceDefinition.hardcoded_resource(notifiers_of(settings), "Receivers of outcomes."),
            IN_MEMORY: mem_io_manager,
            "frames": FrameIOManager(settings.storage),
            "records": RecordIOManager(settings.storage),
        },
    )


defs = build_definitions(Settings.load())
