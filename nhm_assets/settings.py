"""Every environment variable that the platform reads: its type, unit, default and meaning.

Nothing else in the code reads the environment. A value that cannot be used stops the program at start
with the variable's name. Secrets are `SecretStr`: they print as asterisks wherever they end up.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.outcomes import Outcome

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""An amount of something, as Kubernetes writes it: 500m, 2, 1Gi."""


class PodResources(BaseModel):
    """Resources of a run's pod, each where it shall differ; None leaves the general setting in force."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_request: Quantity | None = None
    cpu_limit: Quantity | None = None
    memory: Quantity | None = None


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
    min_feedback_rating: Fraction = Field(0.0, description="Feedback rated below this is left out.")
    min_real_samples: PositiveCount = Field(1000, description="Rows below which synthetic ones are needed.")
    allow_synthetic_fallback: Literal["auto", "true", "false"] = Field(
        "auto", description="Fill up with synthetic rows; auto: unless ENVIRONMENT is production."
    )
    max_feedback_age_days: PositiveCount = Field(
        7, description="Days between the newest feedback and the window's end above which it is stale."
    )
    max_rejected_fraction: Fraction = Field(0.05, description="Share of rejected documents above which to warn.")

    hyperparameter_tuning: bool = Field(default=False, description="Search hyperparameters before the fit.")
    tuning_trials: PositiveCount = Field(30, description="Trials of that search.")
    force_retrain: bool = Field(
        default=False, description="Train even where a version of the same data, code and parameters exists."
    )
    training_threads: PositiveCount = Field(1, description="Threads that a fit and a prediction may use.")

    precision_threshold: Fraction = Field(0.75, description="Least precision of the class approve.")
    recall_threshold: Fraction = Field(0.70, description="Least recall of the class approve.")
    f1_threshold: Fraction = Field(0.72, description="Least F1 of the class approve.")
    max_f1_regression: Fraction = Field(0.01, description="How far F1 may fall below the champion's.")
    min_test_rows: PositiveCount = Field(100, description="Least test rows for a verdict.")

    promotion_wait_s: Seconds = Field(
        300.0, description="Seconds to wait for another promotion of the same specialist."
    )

    retraining_feedback_threshold: PositiveCount = Field(
        100, description="New feedback of a specialist at which the sensor retrains it in mid-week."
    )
    retraining_cooldown_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        24.0, description="Hours between two retrainings of a specialist that the sensor starts."
    )
    max_concurrent_runs: PositiveCount = Field(2, description="Runs at a time, of all specialists; the rest queue.")
    max_run_seconds: PositiveCount = Field(7200, description="Seconds after which a run is ended.")
    service_retries: Count = Field(
        4, description="How often a step tries again when MongoDB, MLflow or Kubernetes is out of reach."
    )
    service_retry_delay_s: Seconds = Field(
        5.0, description="Seconds before the first of these tries; doubled for each further one, give or take a third."
    )
    keep_versions: PositiveCount = Field(
        20, description="Archived versions a model whose files are kept; older ones keep their record alone."
    )
    keep_runs_days: PositiveCount = Field(365, description="Days after which Dagster's runs are deleted.")

    dagster_url: str = Field("http://127.0.0.1:3000", description="Address of Dagster's web UI, for links to runs.")
    slack_webhook_url: SecretStr | None = Field(None, description="Slack webhook that outcomes are sent to.")
    outcome_webhook_url: SecretStr | None = Field(None, description="Address that outcomes are posted to as JSON.")
    smtp_host: str | None = Field(None, description="Mail server that outcomes are sent through.")
    smtp_port: PositiveCount = Field(587, description="Its port.")
    smtp_security: Literal["starttls", "tls", "none"] = Field("starttls", description="How mail is protected there.")
    smtp_user: str | None = Field(None, description="Its user; unset: no login.")
    smtp_password: SecretStr | None = Field(None, description="Its password.")
    mail_from: str = Field("nhm@localhost", description="Sender of mail.")
    mail_to: str | None = Field(None, description="Receivers of mail, separated by commas.")
    notify_outcomes: str = Field(
        "promoted,held,superseded,unchanged,broken", description="Outcomes that are sent, separated by commas."
    )
    notify_timeout_s: Seconds = Field(10.0, description="Seconds until a receiver of outcomes counts as down.")

    kubeconfig: Path | None = Field(
        None, description="Access to the specialists' cluster; unset: that of the pod this runs in, or none."
    )
    kubernetes_service_host: str | None = Field(
        None, description="Set by Kubernetes in every pod: then the pod's own ServiceAccount is used."
    )
    pod_name: str | None = Field(
        None, description="Name of the pod this runs in; the manifests set it, so that the daemon sees the pod's end."
    )
    pod_namespace: str | None = Field(None, description="Namespace of that pod; likewise.")
    specialist_namespace: str = Field("semantic-translation", description="Namespace of the specialists.")
    specialist_deployment: str = Field(
        "specialist-{specialist}", description="Name of a specialist's Deployment; {specialist} is replaced."
    )
    specialist_status_url: str | None = Field(
        None,
        description="Address of a specialist's /status, where pods are asked directly; {specialist} and {pod_ip} are"
        " replaced. Unset: through the API server's proxy.",
    )
    rollout_timeout_s: Seconds = Field(600.0, description="Seconds for a restarted Deployment to be ready.")
    model_load_timeout_s: Seconds = Field(
        120.0, description="Seconds for a specialist that is ready after its restart to have its model loaded."
    )
    kubernetes_timeout_s: Seconds = Field(
        10.0, description="Seconds until a silent API server, or a pod that is asked and silent, is an error."
    )
    rollback_on_failed_rollout: bool = Field(
        default=False, description="Bring the previous version back where a rollout fails or the model does not load."
    )

    run_cpu_request: Quantity = Field("500m", description="Processor that the pod of a run asks for.")
    run_cpu_limit: Quantity = Field("2", description="Processor that the pod of a run may use.")
    run_memory: Quantity = Field("2Gi", description="Memory that the pod of a run asks for and may use.")
    run_resources: dict[str, PodResources] = Field(
        {},
        description="Where a specialist needs other amounts, as JSON: specialist -> cpu_request, cpu_limit, memory.",
    )
    run_node_selector: dict[str, str] = Field({}, description="Labels of the nodes that runs may land on, as JSON.")
    run_tolerations: list[dict[str, Any]] = Field(
        [], description="Tolerations of the pods of runs, as JSON, as Kubernetes writes them."
    )
    run_ttl_s: PositiveCount = Field(86400, description="Seconds that the Job of an ended run is kept.")
    run_executor: Literal["in_process", "k8s_job"] = Field(
        "in_process", description="On Kubernetes: one pod a run, or one more for each step of it."
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

    @field_validator("notify_outcomes")
    @classmethod
    def _known_outcomes(cls, named: str) -> str:
        unknown = outcomes_named(named) - set(Outcome)
        if unknown:
            raise ValueError(f"knows no {', '.join(sorted(unknown))}; there are {', '.join(Outcome)}")
        return named

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
        except SettingsError as error:
            # Its sentence names the field between quotation marks, and nothing else of use.
            field = str(error).partition('"')[2].partition('"')[0]
            raise UsageError(f"unusable setting: {field.upper()}: is no JSON") from None

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

    @property
    def notified_outcomes(self) -> frozenset[str]:
        """The outcomes that are handed to the notifiers."""
        return outcomes_named(self.notify_outcomes)

    def now(self) -> datetime:
        """The time, in UTC: `NHM_NOW` where it is set."""
        return self.nhm_now or datetime.now(UTC)


def outcomes_named(text: str) -> frozenset[str]:
    """The names in a list separated by commas."""
    return frozenset(filter(None, (name.strip().lower() for name in text.split(","))))


def _reason(location: tuple[int | str, ...], message: str) -> str:
    variable = str(location[0]).upper() if location else "the environment"
    return f"{variable}: {message[0].lower()}{message[1:]}"


def set_library_environment(settings: Settings) -> None:
    """Tell Dagster, which takes these from the environment alone, where its instance is and how many runs may work."""
    os.environ["DAGSTER_HOME"] = str(settings.dagster_folder)
    os.environ["MAX_CONCURRENT_RUNS"] = str(settings.max_concurrent_runs)


def inherited_environment() -> dict[str, str]:
    """The environment that a program started by us is given."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
