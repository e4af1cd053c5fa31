"""Names that Dagster's users see and other programs rely on."""

from typing import Final

CODE_LOCATION: Final = "nhm_assets"
GROUP: Final = "specialist_models"
JOB: Final = "specialist_retraining"
SCHEDULE: Final = "weekly_retraining_schedule"
VOLUME_SENSOR: Final = "feedback_volume_sensor"
OUTCOME_SENSOR: Final = "retraining_outcome_sensor"
LOST_RETRY_SENSOR: Final = "lost_retry_sensor"
ROLLBACK_JOB: Final = "rollback_promotion"
RETENTION_JOB: Final = "retention"
RETENTION_SCHEDULE: Final = "retention_schedule"
IN_MEMORY: Final = "in_memory"
"""Key of the I/O manager of jobs that keep nothing."""
