"""Every environment variable that the platform reads: its type, unit, default and meaning."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from nhm_assets.configuration.value_types import (
    BrowserAddress,
    Count,
    Dollars,
    FamilyName,
    Fraction,
    HeaderKey,
    Hours,
    LocalPath,
    Minutes,
    Moment,
    OutcomeNames,
    Owners,
    PlanAddress,
    PositiveCount,
    Receivers,
    Seconds,
    StorageAddress,
    Week,
)
from nhm_assets.domain.first_week import EARLIEST
from nhm_assets.domain.pod_resources import PodResources, Quantity
from nhm_assets.estimators.families import AUTO, DEFAULT, FAMILIES


class SettingFields(BaseSettings):
    """The fields of `Settings`. The environment variable of each is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    nhm_home: LocalPath = Field(
        Path(".nhm"), description="Folder for all files that the platform keeps on this machine."
    )
    dagster_home: LocalPath | None = Field(
        None, description="Folder of the Dagster instance. Default: NHM_HOME/dagster."
    )
    nhm_storage: StorageAddress | None = Field(
        None,
        description=(
            "Folder, s3:// address, or mlflow-artifacts:/ and a folder on the MLflow server, for datasets and records."
            " Default: NHM_HOME/storage."
        ),
    )
    nhm_now: Moment | None = Field(
        None, description="ISO time to use instead of the clock, to replay a day. Without an offset it is UTC."
    )
    environment: Literal["development", "staging", "production"] = Field(
        "development",
        description="development, staging or production. In production, synthetic data is not used by default.",
    )

    specialists_file: LocalPath | None = Field(
        None,
        description="YAML file with the specialists: a list of name, and optionally model, experiment, deployment,"
        " namespace, family and thresholds. Unset: technical, business, behavior, evolution and architecture.",
    )
    first_week: Week = Field(
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

    llm_dataset_dir: LocalPath | None = Field(
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
    llm_base_url: BrowserAddress | None = Field(
        None,
        description="Address of its server, for example http://127.0.0.1:8000/v1. Unset: the address of LLM_PROVIDER.",
    )
    llm_api_key: HeaderKey = Field(None, description="Key for this server. Your own server may need none.")
    llm_max_cost: Dollars = Field(5.0, description="Most US dollars that one file of made-up rows may cost.")
    llm_input_price: Dollars = Field(15.0, description="Price in US dollars per million tokens that the model reads.")
    llm_output_price: Dollars = Field(75.0, description="Price in US dollars per million tokens that the model writes.")
    llm_timeout_s: Seconds = Field(120.0, description="Seconds to wait for an answer from the language model.")
    llm_retries: Count = Field(5, description="Retries of a question that the server cannot answer at the moment.")

    model_family: FamilyName = Field(
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
    retraining_cooldown_hours: Hours = Field(
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
    restart_for_hours: Hours = Field(24.0, description="Hours after which such a run is given up.")
    keep_versions: PositiveCount = Field(
        20,
        description="Number of Archived versions per model, and of held candidates, that keep their files. Older ones"
        " keep only the record.",
    )
    keep_runs_days: PositiveCount = Field(365, description="Days to keep Dagster runs before they are deleted.")

    dagster_url: str = Field("http://127.0.0.1:3000", description="Address of Dagster's web UI, for links to runs.")
    mlflow_ui_url: BrowserAddress | None = Field(
        None,
        description="Address of MLflow's web UI, for links. Unset: MLFLOW_TRACKING_URI, if that is a server.",
    )
    code_url: BrowserAddress | None = Field(
        None,
        description="Address of this repository's files on its host, for links, such as"
        " https://git.example/nhm-assets/blob/main.",
    )
    plan_url: PlanAddress | None = Field(
        None,
        description="Address of a plan in a tool of yours, with {plan_id} in it, for links from evaluation reports.",
    )
    asset_owners: Owners = Field(
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

    notify_urls: Receivers = Field(
        None,
        description="Receivers of outcomes, as Apprise addresses separated by blanks or commas: Slack, Teams, mail,"
        " PagerDuty, webhooks; see https://appriseit.com/services.",
    )
    notify_outcomes: OutcomeNames = Field(
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
