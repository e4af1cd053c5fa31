"""Names that Dagster's users see and other programs rely on."""

from typing import Final

GROUP: Final = "specialist_models"
JOB: Final = "specialist_retraining"
