"""Names that Dagster's users see and other programs rely on."""

from typing import Final

CODE_LOCATION: Final = "nhm_assets"
GROUP: Final = "specialist_models"
JOB: Final = "specialist_retraining"
