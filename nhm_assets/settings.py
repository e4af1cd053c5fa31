"""Every environment variable that the platform reads: its type, unit, default and meaning.

No other module reads the environment. A value that cannot be used stops the program at start; the error names the
variable. Secrets are `SecretStr`: wherever they are printed, they show as asterisks.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from nhm_assets.domain.errors import UsageError
from nhm_assets.domain.first_week import EARLIEST, checked_week
from nhm_assets.domain.foreign_settings import warnings_about, warnings_about_mistyped
from nhm_assets.domain.idle_checks import Remark, Thresholds, remarks_on, remarks_on_own
from nhm_assets.domain.outcomes import Outcome, outcomes_named
from nhm_assets.domain.pod_resources import PodResources, Quantity
from nhm_assets.domain.selection import LlmRules, Selection
from nhm_assets.domain.setting_faults import TIME, but_is, faults_in
from nhm_assets.domain.specialists import FIVE, Specialist, all_specialists, configure, recorded_specialist
from nhm_assets.estimators.families import AUTO, DEFAULT, FAMILIES
from resources.addresses import ARTIFACTS, artifacts_address
from resources.notifiers import notifiers_at

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_OWNER = re.compile(r"team:[A-Za-z0-9_-]+|[^@\s:]+@[^@\s:]+\.[^@\s:]+")

_MISTYPED_ADDRESS = re.compile(r"([A-Za-z][\w+.-]*)(:(?!//)|//)")
"""Begins an address that lacks a slash or the colon. A folder may be called so too, behind ./"""

_NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)

Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_OF_MLFLOWS_LIBRARY = re.compile(
    r"MLFLOW_(TRACKING_(USERNAME|PASSWORD|TOKEN|AUTH|AWS_SIGV4|INSECURE_TLS|\w+_CERT_PATH)|WORKSPACE|ENABLE_WORKSPACES)"
)
"""Variables by which MLflow's own library logs in to a server, trusts it, or chooses a workspace there."""
_LOGIN_OF_MLFLOWS_LIBRARY = Path(".mlflow", "credentials")
"""Its file in the user's folder."""

_RUNS_BY_HAND = 5
"""`nhm retrain` and the Kubernetes Job run beside the queue, and the Job's specialists come one after another."""

_MANY_SPECIALISTS = 10
"""From so many on, two may restart at once: the same share as one of five."""


class Settings(BaseSettings):
    """The settings of one process. The environment variable of a field is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    nhm_home: Path = Field(Path(".nhm"), description="Folder for all files that the platform keeps on this machine.")
    dagster_home: Path | None = Field(None, description="Folder of the Dagster instance. Default: NHM_HOME/dagster.")
    nhm_storage: str | None = Field(
        None,
        description=(
            "Folder, s3:// address, or mlflow-artifacts:/ and a folder on the MLflow server, for datasets and records."
            " Default: NHM_HOME/storage."
        ),
    )
    nhm_now: datetime | None = Field(
        None, description="ISO time to use instead of the clock, to replay a day. Without an offset it is UTC."
    )
    environment: Literal["development", "staging", "production"] = Field(
        "development",
        description="development, staging or production. In production, synthetic data is not used by default.",
    )

    specialists_file: Path | None = Field(
        None,
        description="YAML file with the specialists: a list of name, and optionally model, experiment, deployment,"
        " namespace, family and thresholds. Unset: technical, business, behavior, evolution and architecture.",
    )
    first_week: str = Field(
        EARLIEST,
        description="First day, a Sunday, of the first week that is a partition: the week of the oldest feedback, which"
        " `nhm status` names.",
    )
    keep_weeks: PositiveCount = Field(
        156, description="Weeks before the running one that stay partitions. The records of older weeks stay readable."
    )

    mongodb_uri: SecretStr | None = Field(
        None, description="Address of MongoDB. Unset: a local mongod is started, with its data under NHM_HOME."
    )
    mongodb_database: str = Field("neural_hive", description="MongoDB database that holds all collections.")
    mongodb_timeout_s: Seconds = Field(10.0, description="Seconds to wait for MongoDB before it counts as unreachable.")
    feedback_collection: str = Field("specialist_feedback", description="Collection of reviewers' feedback. Read only.")
    opinions_collection: str = Field("specialist_opinions", description="Collection of opinions. Read only.")
    plans_collection: str = Field("cognitive_ledger", description="Collection of cognitive plans. Read only.")
    features_collection: str = Field(
        "plan_features", description="Collection of stored plan features. Read, and missing features are added."
    )

    mlflow_tracking_uri: SecretStr | None = Field(
        None, description="Address of the MLflow server. Unset: an SQLite database under NHM_HOME."
    )
    mlflow_timeout_s: Seconds = Field(10.0, description="Seconds to wait for MLflow before it counts as unreachable.")
    allow_unverified_champion: bool = Field(
        default=False,
        description="Load a Production version that this platform did not register, to compare candidates with it.",
    )
    foreign_champion: Literal["replace", "compare", "refuse"] = Field(
        "replace",
        description="What happens if the version in Production is foreign. replace: a candidate that passes the other"
        " checks replaces it. compare: it is compared, or else holds the candidate. refuse: it is never replaced.",
    )

    feedback_window_days: PositiveCount = Field(30, description="Days of feedback that each retraining learns from.")
    min_feedback_rating: Fraction = Field(0.0, description="Feedback with a rating (0 to 1) below this is ignored.")
    scripted_feedback_prefixes: str = Field(
        "fb-auto-,fb-bal-,fb-human-",
        description="Beginnings of ids of feedback that scripts made, separated by commas.",
    )
    include_scripted_feedback: bool = Field(
        default=False,
        description="Learn from feedback that scripts made too. In production, such a candidate is not promoted.",
    )
    min_real_samples: PositiveCount = Field(
        1000, description="Rows of real feedback required. With fewer, synthetic rows are added or nothing is trained."
    )
    allow_synthetic_fallback: Literal["auto", "true", "false"] = Field(
        "auto", description="Whether synthetic rows may be added. auto: yes, unless ENVIRONMENT is production."
    )
    max_feedback_age_days: PositiveCount = Field(
        7, description="Warn if the newest feedback is more than this many days older than the window's end."
    )
    max_rejected_fraction: Fraction = Field(
        0.05, description="Warn if more than this fraction (0 to 1) of the feedback documents is rejected."
    )

    llm_dataset_dir: Path | None = Field(
        None,
        description="Folder of rows that a language model made, to train on beside real ones:"
        " specialist_{name}_base.parquet. See docs/data-generation.md.",
    )
    llm_max_share: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = Field(
        0.3, description="Largest fraction of the train rows that a language model may have made. Below 1."
    )
    llm_weight: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = Field(
        0.3, description="How much such a row counts in training. A real row counts 1."
    )
    llm_conditional: Literal["drop", "review"] = Field(
        "drop",
        description="What to do with such rows that are labelled conditional. drop: leave them out. review: learn"
        " them as review_required.",
    )
    allow_llm_data: bool = Field(
        default=False,
        description="Allow rows that a language model made in production too. Otherwise production refuses"
        " LLM_DATASET_DIR.",
    )

    llm_provider: Literal["openai", "anthropic"] = Field(
        "openai", description="Protocol of the server that `nhm generate` asks. Many other servers speak openai too."
    )
    llm_model: str | None = Field(None, description="Name of the language model that makes rows.")
    llm_base_url: str | None = Field(
        None,
        description="Address of its server, for example http://127.0.0.1:8000/v1. Unset: the address of LLM_PROVIDER.",
    )
    llm_api_key: SecretStr | None = Field(None, description="Key for this server. Your own server may need none.")
    llm_max_cost: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        5.0, description="Most US dollars that one file of made-up rows may cost."
    )
    llm_input_price: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        15.0, description="Price in US dollars per million tokens that the model reads."
    )
    llm_output_price: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        75.0, description="Price in US dollars per million tokens that the model writes."
    )
    llm_timeout_s: Seconds = Field(120.0, description="Seconds to wait for an answer from the language model.")
    llm_retries: Count = Field(5, description="Retries of a question that the server cannot answer at the moment.")

    model_family: str = Field(
        DEFAULT.name,
        description=f"How models learn: {', '.join(FAMILIES)}, or {AUTO}: the simplest of those that a search finds"
        " best. See docs/models.md.",
    )
    hyperparameter_tuning: bool = Field(default=False, description="Search for better hyperparameters before training.")
    tuning_trials: PositiveCount = Field(30, description="Number of trials in the search for better hyperparameters.")
    tuning_seconds: Seconds = Field(
        600.0, description="Seconds after which a search over families begins no further trial."
    )
    force_retrain: bool = Field(default=False, description="Train again with the same data, code and parameters.")
    served_classes: Literal["names", "codes"] = Field(
        "names",
        description="What models are fitted on. names: they answer approve, reject, review_required, as the specialists"
        " read it. codes: reject, approve, review_required.",
    )
    calibration: Literal["auto", "none", "sigmoid", "isotonic"] = Field(
        "auto",
        description="How probabilities are calibrated on rows that the model has not learned. auto: with sigmoid if"
        " that gives a better Brier score than none.",
    )
    training_threads: PositiveCount = Field(2, description="Threads of a fit. Their number does not change the model.")
    retrain_processes: PositiveCount | None = Field(
        None,
        description="Specialists that `nhm retrain` retrains at a time, each in a process of its own. Unset: as many as"
        " there are cores.",
    )

    precision_threshold: Fraction = Field(0.75, description="Minimum precision (class approve) for a promotion.")
    recall_threshold: Fraction = Field(0.70, description="Minimum recall (class approve) for a promotion.")
    f1_threshold: Fraction = Field(0.72, description="Minimum F1 (class approve) for a promotion.")
    max_f1_regression: Fraction = Field(0.01, description="How far the F1 of a candidate may be below the champion's.")
    shadow_plans: Count = Field(
        2000,
        description="Number of newest plans that candidate and champion are both asked about, to compare them without"
        " labels. 0: none.",
    )
    shadow_agreement: Fraction = Field(
        0.90, description="Warn if candidate and champion agree on less than this fraction (0 to 1) of these plans."
    )
    write_shadow_comparisons: bool = Field(
        default=False, description="Write each of these comparisons to the collection shadow_mode_comparisons."
    )
    served_quality_timeout_s: Seconds = Field(
        60.0, description="Seconds to read what the served version did in a week. What takes longer is not measured."
    )
    served_fallback_share: Fraction = Field(
        0.10, description="Warn if fallbacks gave more than this fraction (0 to 1) of a specialist's opinions."
    )
    ab_test_traffic_split: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)] = Field(
        0.9, description="Share of the plans (0 to 1) that the champion gets in an A/B test that names no other."
    )
    ab_test_hash_seed: str = Field(
        "neural-hive-ab-test",
        description="Seed by which plans are assigned to the versions of an A/B test: that of the specialists.",
    )
    min_test_rows: PositiveCount = Field(100, description="Minimum number of test rows for a promotion.")
    gate_folds: Annotated[int, Field(ge=0, le=2)] = Field(
        2, description="Further models that the gate fits on older rows to judge a candidate by more rows. 0: none."
    )
    gate_confidence: Fraction = Field(
        0.5,
        description="Minimum probability that precision, and recall, are above their thresholds, for a promotion.",
    )
    gate_midweek_confidence: Annotated[float, Field(ge=0.5, lt=1.0, allow_inf_nan=False)] = Field(
        0.8,
        description="Before the week has closed: minimum probability that F1 is at most MAX_F1_REGRESSION below the"
        " champion's.",
    )
    reference_weeks: Count = Field(
        8, description="Weeks after which a version in Production is the reference for candidates. 0: no reference."
    )
    max_f1_regression_to_reference: Fraction = Field(
        0.02, description="How far the F1 of a candidate may be below that of the reference."
    )

    restore_foreign_moves: bool = Field(
        default=False,
        description="Undo what somebody else has put into Production. Otherwise it is only reported.",
    )
    promotion_wait_s: Seconds = Field(300.0, description="Seconds to wait for another promotion of the specialist.")

    retraining_feedback_threshold: PositiveCount = Field(
        100, description="Amount of new feedback on a specialist that starts a retraining before the week ends."
    )
    retraining_cooldown_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        72.0, description="Minimum hours between two retrainings of a specialist that new feedback starts."
    )
    increment: bool = Field(
        default=False,
        description="Between weekly retrainings, correct the served version with new feedback instead of training in"
        " full. See docs/models.md.",
    )
    increment_threshold: PositiveCount = Field(
        20, description="Amount of new feedback on a specialist that starts an increment, if INCREMENT is true."
    )
    max_concurrent_runs: PositiveCount = Field(2, description="Maximum number of runs at a time. Other runs queue.")
    max_run_seconds: PositiveCount = Field(14400, description="Seconds after which a run is stopped.")
    service_retries: Count = Field(4, description="Retries of a step if MongoDB, MLflow or Kubernetes is unreachable.")
    service_retry_delay_s: Seconds = Field(
        5.0,
        description="Seconds before a step's first retry. Each further delay is twice as long, plus or minus a third.",
    )
    restart_after_minutes: tuple[Minutes, ...] = Field(
        (5.0, 15.0, 60.0, 180.0),
        min_length=1,
        description="Minutes until a run is started over that broke because a service was down, as a JSON list;"
        " the last one repeats.",
    )
    restart_for_hours: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        24.0, description="Hours after which such a run is given up."
    )
    keep_versions: PositiveCount = Field(
        20,
        description="Number of Archived versions per model, and of held candidates, that keep their files. Older ones"
        " keep only the record.",
    )
    keep_runs_days: PositiveCount = Field(365, description="Days to keep Dagster runs before they are deleted.")

    dagster_url: str = Field("http://127.0.0.1:3000", description="Address of Dagster's web UI, for links to runs.")
    mlflow_ui_url: str | None = Field(
        None,
        description="Address of MLflow's web UI, for links. Unset: MLFLOW_TRACKING_URI, if that is a server.",
    )
    code_url: str | None = Field(
        None,
        description="Address of this repository's files on its host, for links, such as"
        " https://git.example/nhm-assets/blob/main.",
    )
    plan_url: str | None = Field(
        None,
        description="Address of a plan in a tool of yours, with {plan_id} in it, for links from evaluation reports.",
    )
    asset_owners: str = Field(
        "", description="Owners of the assets in Dagster, separated by commas: mail addresses, or team:NAME."
    )
    runbook_url: str = Field(
        "docs/runbook.md", description="Address at which your people read docs/runbook.md, for links in notifications."
    )
    nhm_actor: str | None = Field(
        None, description="Who runs `nhm`, for the audit log. Unset: the user and host of the system."
    )
    actor_header: str = Field(
        "X-Forwarded-Email",
        description="HTTP header in which the proxy before Dagster's UI names the user, for the audit log.",
    )

    log_format: Literal["console", "json"] = Field(
        "console",
        description="Form of log lines. console: text for people. json: one JSON object per line, for a log store.",
    )
    exporter_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        9465, description="Port at which `nhm exporter` answers Prometheus."
    )
    exporter_refresh_s: Seconds = Field(30.0, description="Seconds between two refreshes of what the exporter shows.")

    notify_urls: SecretStr | None = Field(
        None,
        description="Receivers of outcomes, as Apprise addresses separated by blanks or commas: Slack, Teams, mail,"
        " PagerDuty, webhooks; see https://appriseit.com/services.",
    )
    notify_outcomes: str = Field(
        "promoted,held,superseded,unchanged,insufficient_data,broken",
        description="Outcomes that are sent, separated by commas.",
    )
    notify_timeout_s: Seconds = Field(
        10.0, description="Seconds to wait for a receiver of notifications before it counts as down."
    )

    kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig file of the specialists' cluster. Unset: the pod's own access, or no cluster.",
    )
    kubernetes_service_host: str | None = Field(
        None, description="Set by Kubernetes in every pod. If set, the pod's own ServiceAccount is used."
    )
    pod_name: str | None = Field(
        None, description="Name of this pod, set by the manifests. The daemon uses it to notice that the pod has ended."
    )
    pod_namespace: str | None = Field(None, description="Namespace of this pod, set by the manifests.")
    specialist_namespace: str = Field("semantic-translation", description="Namespace of the specialists.")
    specialist_deployment: str = Field(
        "specialist-{specialist}",
        description="Name of a specialist's Deployment. {specialist} is replaced by its name.",
    )
    specialist_status_url: str | None = Field(
        None,
        description="Address of a pod's /status for direct requests; {specialist} and {pod_ip} are replaced."
        " Unset: requests go through the API server.",
    )
    rollout_timeout_s: Seconds = Field(600.0, description="Seconds to wait for a restarted Deployment to be ready.")
    rollout_parallel: int | None = Field(
        None,
        ge=1,
        le=10,
        description="How many specialists may restart at once. With 1, the hive keeps its quorum, and one slow rollout"
        " holds up all others. Unset: 1 for up to nine specialists, 2 for ten or more.",
    )
    model_load_timeout_s: Seconds = Field(120.0, description="Seconds for a ready specialist to load its model.")
    kubernetes_timeout_s: Seconds = Field(10.0, description="Seconds to wait for an answer of the API server or a pod.")
    rollback_on_failed_rollout: bool = Field(
        default=False,
        description="Promote the previous version again if a rollout fails or a pod denies having the model.",
    )

    run_cpu_request: Quantity = Field("500m", description="CPU request of a run's pod, in Kubernetes notation.")
    run_cpu_limit: Quantity = Field("2", description="CPU limit of a run's pod, in Kubernetes notation.")
    run_memory: Quantity = Field("2Gi", description="Memory request and limit of a run's pod, in Kubernetes notation.")
    run_resources: dict[str, PodResources] = Field(
        {},
        description="CPU and memory of single specialists, as JSON: specialist -> cpu_request, cpu_limit, memory.",
    )
    run_node_selector: dict[str, str] = Field({}, description="Node labels that runs require, as JSON.")
    run_tolerations: list[dict[str, Any]] = Field([], description="Tolerations of runs, as a JSON list.")
    run_priority_class: str | None = Field(None, description="PriorityClass of runs. Unset: the cluster's default.")
    run_ttl_s: PositiveCount = Field(3 * 86400, description="Seconds to keep the Job of a finished run.")
    run_executor: Literal["in_process", "k8s_job"] = Field(
        "in_process", description="On Kubernetes: in_process: one pod per run. k8s_job: also one pod per step."
    )

    @field_validator("nhm_home", "dagster_home", "specialists_file", "llm_dataset_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("nhm_storage")
    @classmethod
    def _absolute_folder(cls, storage: str | None) -> str | None:
        """A relative folder must mean the same place in every process, whatever its working directory."""
        if storage is None or storage.startswith(ARTIFACTS):
            return storage
        if mistyped := _MISTYPED_ADDRESS.match(storage):
            example = f"{mistyped[1]}://bucket/prefix"
            if example.startswith(ARTIFACTS):
                example = f"{ARTIFACTS}nhm"
            raise ValueError(f"must be a folder or an address such as {example}")
        if "://" not in storage:
            return str(Path(storage).expanduser().absolute())
        # Addresses of files are shown, for example in Dagster's events.
        if "@" in storage:
            raise ValueError("must not contain a user and password: set them in the variables of the storage library")
        return storage

    @field_validator("first_week")
    @classmethod
    def _sunday(cls, week: str) -> str:
        return checked_week(week)

    @field_validator("model_family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        if name not in (*FAMILIES, AUTO):
            raise ValueError(f"must be one of {', '.join((*FAMILIES, AUTO))}")
        return name

    @field_validator("nhm_now", mode="before")
    @classmethod
    def _no_number(cls, moment: Any) -> Any:
        """Pydantic reads a number, such as 20261122, as seconds since 1970."""
        if isinstance(moment, str) and _NUMBER.fullmatch(moment.strip()):
            raise ValueError(TIME)
        return moment

    @field_validator("nhm_now")
    @classmethod
    def _utc(cls, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

    @field_validator("asset_owners")
    @classmethod
    def _owners_that_dagster_takes(cls, named: str) -> str:
        owners = filter(None, (owner.strip() for owner in named.split(",")))
        if unusable := [owner for owner in owners if not _OWNER.fullmatch(owner)]:
            raise ValueError(f"{', '.join(unusable)} is neither a mail address nor team:NAME")
        return named

    @field_validator("plan_url")
    @classmethod
    def _address_that_names_the_plan(cls, address: str | None) -> str | None:
        if address and "{plan_id}" not in address:
            raise ValueError("must contain {plan_id}, where the id of the plan is put in")
        return address

    @field_validator("mlflow_ui_url", "code_url", "plan_url", "llm_base_url")
    @classmethod
    def _address_for_browsers(cls, address: str | None) -> str | None:
        """Links are shown to everybody."""
        if address and (not address.startswith(("http://", "https://")) or "@" in address):
            raise ValueError("must begin with http:// or https://, and must not contain a user and password")
        return address

    @field_validator("llm_api_key")
    @classmethod
    def _of_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        """A key from a file often ends with a line break."""
        plain = key.get_secret_value().strip() if key else ""
        if any(not "!" <= letter <= "~" for letter in plain):
            raise ValueError("must consist of printable ASCII characters without blanks")
        return SecretStr(plain) if plain else None

    @field_validator("notify_outcomes")
    @classmethod
    def _known_outcomes(cls, named: str) -> str:
        unknown = outcomes_named(named) - set(Outcome)
        if unknown:
            raise ValueError(f"unknown outcome {', '.join(sorted(unknown))}; choose from {', '.join(Outcome)}")
        return named

    @field_validator("notify_urls")
    @classmethod
    def _known_receivers(cls, urls: SecretStr | None) -> SecretStr | None:
        if urls is not None:
            notifiers_at(urls.get_secret_value(), timeout_s=1)
        return urls

    @classmethod
    def load(cls, **aliases: str) -> Self:
        """The settings from the environment of this process, which also say which specialists it knows.

        Args:
            aliases: setting -> another variable that gives its value where its own is not set.

        Raises:
            UsageError: a value or SPECIALISTS_FILE is invalid, or values contradict each other. The message names
                variables and reasons.
        """
        _warn_of_foreign_settings()
        given: dict[str, Any] = {
            setting: os.environ[other]
            for setting, other in aliases.items()
            if not os.environ.get(setting.upper()) and os.environ.get(other)
        }
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise cls.unusable(error) from None
        except SettingsError as error:
            # The message contains the field's name in quotation marks, and nothing else of use.
            field = str(error).partition('"')[2].partition('"')[0]
            value = but_is(os.environ.get(field.upper(), ""))
            raise UsageError(f"invalid setting: {field.upper()}: must be valid JSON{value}") from None
        configure(_specialists_in(settings.specialists_file))
        if contradictions := list(settings._contradictions()):
            raise UsageError(f"settings contradict each other: {'; '.join(contradictions)}")
        for remark in settings.remarks:
            # Nobody chose the defaults, so what they leave idle alarms nobody. `nhm settings` and `nhm status` name it.
            _say_once(logging.WARNING if settings._chosen(remark) else logging.INFO, remark.sentence)
        return settings

    @classmethod
    def unusable(cls, error: ValidationError) -> UsageError:
        """The error that names the variables and what their values must be. It shows no secret."""
        types = {name: field.annotation for name, field in cls.model_fields.items()}
        secret = [name for name, kind in types.items() if SecretStr in (kind, *get_args(kind))]
        return UsageError(f"invalid setting: {faults_in(error, secret)}")

    @property
    def remarks(self) -> list[Remark]:
        """Settings under which a check can never fail or never pass."""
        limits = Thresholds(**{one.name: getattr(self, one.name) for one in fields(Thresholds)})
        return [*remarks_on(limits), *remarks_on_own(limits, all_specialists())]

    def _chosen(self, remark: Remark) -> bool:
        """Whether any of its settings differs from the default."""
        return any(getattr(self, name) != type(self).model_fields[name].default for name in remark.settings)

    def _contradictions(self) -> Iterator[str]:
        if self.in_production and self.nhm_now:
            yield "NHM_NOW replaces the clock, which ENVIRONMENT=production does not allow: remove NHM_NOW"
        if self.in_production and self.llm_dataset_dir and not self.allow_llm_data:
            yield (
                "LLM_DATASET_DIR adds rows that a language model made, which ENVIRONMENT=production does not allow:"
                " unset it, or set ALLOW_LLM_DATA=true"
            )
        try:
            self.storage  # noqa: B018 - raises if there is no such place
        except ValueError as error:
            yield f"NHM_STORAGE {self.nhm_storage}: {error}"
        for specialist in all_specialists():
            if specialist.family and specialist.family not in (*FAMILIES, AUTO):
                yield f"SPECIALISTS_FILE gives {specialist} {_unknown_family(specialist.family)}"
        yield from self._shared_deployments()
        longest_s = self.rollout_timeout_s * self.rollouts_in_a_row
        if longest_s > self.max_run_seconds:
            yield (
                f"{self.rollouts_in_a_row} rollouts, one after another, may take ROLLOUT_TIMEOUT_S"
                f" ({self.rollout_timeout_s:g}) each, so {longest_s:g} s, and MAX_RUN_SECONDS ({self.max_run_seconds})"
                " ends the run before: raise it or lower ROLLOUT_TIMEOUT_S"
            )

    def _shared_deployments(self) -> Iterator[str]:
        """What SPECIALISTS_FILE gives to two specialists, one of them perhaps by default: each would restart both."""
        owners: dict[tuple[str, str], Specialist] = {}
        for specialist in all_specialists():
            namespace, name = self.deployment_of(specialist)
            owner = owners.setdefault((namespace, name), specialist)
            if owner != specialist and (owner.deployment or specialist.deployment):
                yield (
                    f"{owner} and {specialist} have the same Deployment, {name} in namespace {namespace}: give each its"
                    " own in SPECIALISTS_FILE"
                )

    def deployment_of(self, specialist: Specialist) -> tuple[str, str]:
        """Namespace and name of a specialist's Deployment: its own, or those of the settings."""
        by_name = self.specialist_deployment.replace("{specialist}", specialist)
        return specialist.namespace or self.specialist_namespace, specialist.deployment or by_name

    def family_of(self, specialist: str) -> str:
        """How the models of a specialist learn: its own family, or the settings'."""
        return recorded_specialist(specialist).family or self.model_family

    def thresholds_of(self, specialist: str) -> dict[str, float]:
        """What precision, recall and F1 of its candidates must reach: its own thresholds, or the settings'."""
        common = {"precision": self.precision_threshold, "recall": self.recall_threshold, "f1": self.f1_threshold}
        return common | dict(recorded_specialist(specialist).thresholds)

    @property
    def volume_threshold(self) -> int:
        """The amount of new feedback on a specialist that starts a run before the week ends."""
        return self.increment_threshold if self.increment else self.retraining_feedback_threshold

    @property
    def rollouts_at_once(self) -> int:
        """How many runs can wait for each other's rollout: those of the queue, and some that people started."""
        return min(len(all_specialists()), self.max_concurrent_runs + _RUNS_BY_HAND)

    @property
    def rollout_slots(self) -> int:
        """How many specialists may restart at once: ROLLOUT_PARALLEL; if it is unset, one, and of ten or more two.

        Two are enough: a slow rollout keeps one slot, and all others pass through the second.
        """
        return self.rollout_parallel or (2 if len(all_specialists()) >= _MANY_SPECIALISTS else 1)

    @property
    def rollouts_in_a_row(self) -> int:
        """How many of them come one after another, if all slots are used."""
        return -(-self.rollouts_at_once // self.rollout_slots)

    @property
    def storage(self) -> str:
        """Folder or fsspec address of datasets and records."""
        if self.nhm_storage and self.nhm_storage.startswith(ARTIFACTS):
            server = self.mlflow_tracking_uri
            return artifacts_address(self.nhm_storage, server.get_secret_value() if server else None)
        return self.nhm_storage or str(self.nhm_home / "storage")

    @property
    def mlflow_library_is_configured(self) -> bool:
        """Whether MLflow's own library is told how to enter a server, by more than its address."""
        is_told = any(value and _OF_MLFLOWS_LIBRARY.fullmatch(name) for name, value in os.environ.items())
        return is_told or (Path.home() / _LOGIN_OF_MLFLOWS_LIBRARY).exists()

    @property
    def dagster_folder(self) -> Path:
        """Dagster's instance folder."""
        return self.dagster_home or self.nhm_home / "dagster"

    @property
    def in_production(self) -> bool:
        """Whether this is the production deployment."""
        return self.environment == "production"

    @property
    def synthetic_fallback(self) -> bool:
        """Whether synthetic rows may be added to a dataset that is too small."""
        if self.allow_synthetic_fallback == "auto":
            return not self.in_production
        return self.allow_synthetic_fallback == "true"

    @property
    def scripted_prefixes(self) -> tuple[str, ...]:
        """Beginnings of ids of feedback that scripts made."""
        return tuple(filter(None, (prefix.strip() for prefix in self.scripted_feedback_prefixes.split(","))))

    @property
    def selection(self) -> Selection:
        """Which valid feedback is left out of datasets and does not count as new."""
        return Selection(self.min_feedback_rating, self.scripted_prefixes, self.include_scripted_feedback)

    @property
    def llm_rules(self) -> LlmRules | None:
        """Which rows that a language model made are added to datasets; None for none."""
        if self.llm_dataset_dir is None:
            return None
        return LlmRules(self.llm_dataset_dir, self.llm_max_share, self.llm_conditional)

    @property
    def owners(self) -> tuple[str, ...]:
        """The owners of the assets."""
        return tuple(filter(None, (owner.strip() for owner in self.asset_owners.split(","))))

    @property
    def notified_outcomes(self) -> frozenset[str]:
        """The outcomes that are handed to the notifiers."""
        return outcomes_named(self.notify_outcomes)

    def now(self) -> datetime:
        """The current time in UTC, or `NHM_NOW` if it is set."""
        return self.nhm_now or datetime.now(UTC)


def _unknown_family(name: str) -> str:
    return f"the unknown family {name}; choose from {', '.join((*FAMILIES, AUTO))}"


def _specialists_in(path: Path | None) -> tuple[Specialist, ...]:
    if path is None:
        return FIVE
    # Needs a YAML parser, and most installations have no such file.
    from nhm_assets.domain.specialists_file import read_specialists

    return read_specialists(path)


@cache
def _warn_of_foreign_settings() -> None:
    """Warn once per process: nobody would notice that a setting has no effect."""
    own = [name.upper() for name in Settings.model_fields]
    for warning in (*warnings_about(os.environ), *warnings_about_mistyped(os.environ, own)):
        logging.getLogger(__name__).warning("%s", warning)


@cache
def _say_once(level: int, sentence: str) -> None:
    """Log a sentence once per process."""
    logging.getLogger(__name__).log(level, "%s", sentence)


def set_library_environment(settings: Settings, *, dagster_home: Path | None = None) -> None:
    """Set the variables that Dagster reads from the environment only.

    Args:
        settings: of this process.
        dagster_home: another name of the folder of its instance.
    """
    os.environ["DAGSTER_HOME"] = str(dagster_home or settings.dagster_folder)
    os.environ["MAX_CONCURRENT_RUNS"] = str(settings.max_concurrent_runs)


def image_of_this_pod() -> str | None:
    """The image of this process's pod; None outside of Kubernetes, or where an older copy of an overlay names none."""
    return os.environ.get("DAGSTER_CURRENT_IMAGE") or None


def inherited_environment() -> dict[str, str]:
    """The environment for programs that we start."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
