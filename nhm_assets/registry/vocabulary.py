"""The names of the model registry: stages, aliases and tags."""

from typing import Final

STAGING: Final = "Staging"
PRODUCTION: Final = "Production"
ARCHIVED: Final = "Archived"

CANDIDATE_ALIAS: Final = "candidate"
PRODUCTION_ALIAS: Final = "production"
PREVIOUS_ALIAS: Final = "previous"

PARTITION_TAG: Final = "nhm.partition"
WINDOW_START_TAG: Final = "nhm.window_start"
WINDOW_END_TAG: Final = "nhm.window_end"
DATA_VERSION_TAG: Final = "nhm.data_version"
CODE_VERSION_TAG: Final = "nhm.code_version"
DATA_SOURCE_TAG: Final = "nhm.data_source"
ROWS_TAG: Final = "nhm.rows"
FINGERPRINT_TAG: Final = "nhm.fingerprint"
PARAMETERS_TAG: Final = "nhm.parameters"
SHA256_TAG: Final = "nhm.model_sha256"
DAGSTER_RUN_TAG: Final = "dagster_run_id"
TRIAL_OF_TAG: Final = "nhm.trial_of_dagster_run"
ROLLED_BACK_TAG: Final = "nhm.rolled_back"
"""Why a version was rolled back; neither schedule nor sensor promotes it again."""
FILES_DELETED_TAG: Final = "nhm.files_deleted"
"""When the files of a version were deleted."""
