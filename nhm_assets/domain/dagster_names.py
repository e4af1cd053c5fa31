"""Names that users of Dagster see and other programs rely on."""

from typing import Final

INCREMENT_CONFIG: Final = {"ops": {"trained_model": {"config": {"increment": True}}}}
"""Run config of the retraining job: correct the version that serves, instead of training in full."""

SERVING_ON_LINE: Final = "serving_on_line"
"""The check on evaluation_report that says whether what serves still reaches the thresholds."""
REPORT_METADATA: Final = "report"
"""Under this name, a materialization of evaluation_report has the whole report."""

DATA_VERSION: Final = "dagster/data_version"
"""Tag in which Dagster keeps the data version of a materialization."""

CODE_LOCATION: Final = "nhm_assets"
GROUP: Final = "specialist_models"
JOB: Final = "specialist_retraining"
SCHEDULE: Final = "weekly_retraining_schedule"
VOLUME_SENSOR: Final = "feedback_volume_sensor"
DRIFT_SENSOR: Final = "drift_sensor"
OUTCOME_SENSOR: Final = "retraining_outcome_sensor"
LOST_RETRY_SENSOR: Final = "lost_retry_sensor"
REGISTRY_SENSOR: Final = "registry_sensor"
ROLLBACK_JOB: Final = "rollback_promotion"
AB_TEST_JOB: Final = "ab_test"
REPLAY_JOB: Final = "replay_gate"
SERVED_QUALITY_JOB: Final = "served_quality_job"
SERVED_QUALITY_SCHEDULE: Final = "served_quality_schedule"
RETENTION_JOB: Final = "retention"
RETENTION_SCHEDULE: Final = "retention_schedule"
OP_JOBS: Final = frozenset({ROLLBACK_JOB, AB_TEST_JOB, REPLAY_JOB, RETENTION_JOB})
"""Jobs that make no asset: the job's name says what they do, and the names of their steps say nothing more."""
IN_MEMORY: Final = "in_memory"
"""Key of the I/O manager for jobs that store nothing."""
