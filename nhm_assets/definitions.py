"""The code location: the one place where assets, checks, jobs and resources meet.

Importing it reads the environment and nothing else: no network, no disk.
"""

from dagster import Definitions, ResourceDefinition, in_process_executor

from nhm_assets.evaluation.assets import evaluation_report
from nhm_assets.feedback.assets import feedback_dataset, specialist_feedback, specialist_opinions
from nhm_assets.feedback.checks import feedback_dataset_checks
from nhm_assets.jobs import specialist_retraining
from nhm_assets.promotion.assets import promoted_version
from nhm_assets.promotion.checks import promoted_version_checks
from nhm_assets.settings import Settings
from nhm_assets.training.assets import trained_model
from nhm_assets.training.checks import trained_model_checks
from nhm_assets.wiring import mlflow_of, mongo_of
from resources.storage import FrameIOManager, RecordIOManager


def build_definitions(settings: Settings) -> Definitions:
    """The code location with these settings.

    Resources are plain objects rather than configured ones: Dagster shows and stores configuration, and
    addresses carry passwords.
    """
    return Definitions(
        assets=[
            specialist_feedback,
            specialist_opinions,
            feedback_dataset,
            trained_model,
            evaluation_report,
            promoted_version,
        ],
        asset_checks=[feedback_dataset_checks, trained_model_checks, promoted_version_checks],
        jobs=[specialist_retraining],
        # Also for runs that somebody starts from an asset's page, without the job.
        executor=in_process_executor,
        resources={
            "settings": ResourceDefinition.hardcoded_resource(settings, "The process's settings."),
            "mongo": ResourceDefinition.hardcoded_resource(mongo_of(settings), "Feedback, opinions, plans, audit log."),
            "mlflow": ResourceDefinition.hardcoded_resource(mlflow_of(settings), "Training runs and model registry."),
            "frames": FrameIOManager(settings.storage),
            "records": RecordIOManager(settings.storage),
        },
    )


defs = build_definitions(Settings.load())
