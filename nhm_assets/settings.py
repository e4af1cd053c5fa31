"""Every environment variable that the platform reads: its type, unit, default and meaning.

Nothing else in the code reads the environment. A value that cannot be used stops the program at start
with the variable's name. Secrets are `SecretStr`: they print as asterisks wherever they end up.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from nhm_assets.errors import UsageError

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The settings of one process. A field's environment variable is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    nhm_home: Path = Field(Path(".nhm"), description="Folder of everything that is kept on this machine.")
    dagster_home: Path | None = Field(None, description="Dagster's instance folder; default NHM_HOME/dagster.")
    nhm_storage: str | None = Field(
        None, description="Folder or s3:// address of datasets and records; default NHM_HOME/storage."
    )
    nhm_now: datetime | None = Field(
        None, description="ISO time that stands in for the clock, to replay a day; no offset means UTC."
    )
    environment: str = Field("development", description="`production` forbids synthetic data.")

    mongodb_uri: SecretStr | None = Field(
        None, description="MongoDB address; unset: a mongod of its own under NHM_HOME."
    )
    mongodb_database: str = Field("neural_hive", description="Database of all collections.")
    mongodb_timeout_s: Seconds = Field(10.0, description="Seconds until an unreachable MongoDB is an error.")
    feedback_collection: str = Field("specialist_feedback", description="Reviewers' feedback; only read.")
    opinions_collection: str = Field("specialist_opinions", description="Specialists' opinions; only read.")
    plans_collection: str = Field("cognitive_ledger", description="Cognitive plans; only read.")
    features_collection: str = Field("plan_features", description="Stored plan features; read and added to.")

    mlflow_tracking_uri: SecretStr | None = Field(None, description="MLflow server; unset: SQLite under NHM_HOME.")
    mlflow_timeout_s: Seconds = Field(10.0, description="Seconds until an unreachable MLflow is an error.")
    allow_unverified_champion: bool = Field(
        default=False,
        description="Load a Production version that carries no SHA-256 tag, e.g. one made before the platform.",
    )

    feedback_window_days: PositiveCount = Field(30, description="Days of feedback that a partition learns from.")
    min_feedback_rating: Share = Field(0.0, description="Feedback rated below this is left out.")
    min_real_samples: PositiveCount = Field(1000, description="Rows below which synthetic ones are needed.")
    allow_synthetic_fallback: Literal["auto", "true", "false"] = Field(
        "auto", description="Fill up with synthetic rows; auto: unless ENVIRONMENT is production."
    )
    max_feedback_age_days: PositiveCount = Field(
        7, description="Days between the newest feedback and the window's end above which it is stale."
    )
    max_rejected_fraction: Share = Field(0.05, description="Share of rejected documents above which to warn.")

    hyperparameter_tuning: bool = Field(default=False, description="Search hyperparameters before the fit.")
    tuning_trials: PositiveCount = Field(30, description="Trials of that search.")
    force_retrain: bool = Field(
        default=False, description="Train even where a version of the same data, code and parameters exists."
    )
    training_threads: PositiveCount = Field(1, description="Threads that a fit and a prediction may use.")

    precision_threshold: Share = Field(0.75, description="Least precision of the class approve.")
    recall_threshold: Share = Field(0.70, description="Least recall of the class approve.")
    f1_threshold: Share = Field(0.72, description="Least F1 of the class approve.")
    max_f1_regression: Share = Field(0.01, description="How far F1 may fall below the champion's.")
    min_test_rows: PositiveCount = Field(100, description="Least test rows for a verdict.")

    promotion_wait_s: Seconds = Field(
        300.0, description="Seconds to wait for another promotion of the same specialist."
    )

    @field_validator("nhm_home", "dagster_home")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("nhm_storage")
    @classmethod
    def _absolute_folder(cls, storage: str | None) -> str | None:
        """A folder means the same place whatever the working directory of a process."""
        if storage is None:
            return None
        if "://" not in storage:
            return str(Path(storage).expanduser().absolute())
        # Files are shown with their addresses, in Dagster's events too.
        if "@" in storage:
            raise ValueError("must not carry user and password: give them in the variables of the store's library")
        return storage

    @field_validator("nhm_now")
    @classmethod
    def _utc(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    @classmethod
    def load(cls) -> Self:
        """The settings of this process's environment.

        Raises:
            UsageError: a variable cannot be used; the message names it and says why.
        """
        try:
            return cls()
        except ValidationError as error:
            reasons = "; ".join(_reason(fault["loc"], fault["msg"]) for fault in error.errors())
            raise UsageError(f"unusable setting: {reasons}") from None

    @property
    def storage(self) -> str:
        """Where datasets and records are kept: a folder or an fsspec address."""
        return self.nhm_storage or str(self.nhm_home / "storage")

    @property
    def dagster_folder(self) -> Path:
        """Dagster's instance folder."""
        return self.dagster_home or self.nhm_home / "dagster"

    @property
    def in_production(self) -> bool:
        """Whether real decisions hang on the outcome."""
        return self.environment.strip().lower() in {"production", "prod"}

    @property
    def synthetic_fallback(self) -> bool:
        """Whether synthetic rows may fill up a dataset that is too small."""
        if self.allow_synthetic_fallback == "auto":
            return not self.in_production
        return self.allow_synthetic_fallback == "true"

    def now(self) -> datetime:
        """The time, in UTC: `NHM_NOW` where it is set."""
        return self.nhm_now or datetime.now(UTC)


def _reason(location: tuple[int | str, ...], message: str) -> str:
    variable = str(location[0]).upper() if location else "the environment"
    return f"{variable}: {message[0].lower()}{message[1:]}"


def set_library_environment(settings: Settings) -> None:
    """Tell Dagster, which takes it from the environment alone, where its instance is."""
    os.environ["DAGSTER_HOME"] = str(settings.dagster_folder)


def inherited_environment() -> dict[str, str]:
    """The environment that a program started by us is given."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
