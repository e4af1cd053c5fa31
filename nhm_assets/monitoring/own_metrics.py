"""The platform's own metrics, `nhm_*`. docs/metrics.md is made from this table."""

from typing import Final

from nhm_assets.monitoring.metric import Kind, Metric, Source

_COUNT: Final = ""
_SECONDS: Final = "seconds"
_RATIO: Final = "ratio"
_TIME: Final = "seconds since 1970"


def _metric(source: Source, name: str, labels: str, unit: str, meaning: str, kind: Kind = Kind.GAUGE) -> Metric:
    return Metric(f"nhm_{name}", kind, tuple(labels.split()), unit, meaning, source)


_EXPORTER = Source.EXPORTER
UP = _metric(_EXPORTER, "up", "source", _COUNT, "1 if the last refresh of the source succeeded in time, else 0.")
REFRESH_AGE = _metric(
    _EXPORTER, "refresh_age_seconds", "source", _SECONDS, "Time since the last refresh of the source that succeeded."
)
REFRESH_DURATION = _metric(
    _EXPORTER, "refresh_duration_seconds", "source", _SECONDS, "How long that refresh of the source took."
)
BUILD = _metric(_EXPORTER, "exporter_info", "version", _COUNT, "Always 1. The version of the platform that exports.")

_SETTINGS = Source.SETTINGS
QUALITY_THRESHOLD = _metric(
    _SETTINGS,
    "quality_threshold_ratio",
    "specialist metric",
    _RATIO,
    "What precision, recall or f1 of a candidate must reach: PRECISION_THRESHOLD, RECALL_THRESHOLD, F1_THRESHOLD.",
)
FEEDBACK_THRESHOLD = _metric(
    _SETTINGS,
    "feedback_threshold",
    "specialist",
    _COUNT,
    "New feedback documents that start a retraining: RETRAINING_FEEDBACK_THRESHOLD, or INCREMENT_THRESHOLD where"
    " INCREMENT is true.",
)
REJECTED_THRESHOLD = _metric(
    _SETTINGS,
    "rejected_threshold_ratio",
    "",
    _RATIO,
    "Share of rejected feedback that is too much: MAX_REJECTED_FRACTION.",
)

_DAGSTER = Source.DAGSTER
LAST_OUTCOME = _metric(
    _DAGSTER,
    "last_outcome",
    "specialist outcome",
    _COUNT,
    "1 for the outcome of the specialist's newest run that decided or broke, 0 for the others. Absent without one.",
)
OUTCOME_TIME = _metric(
    _DAGSTER,
    "outcome_timestamp_seconds",
    "specialist outcome",
    _TIME,
    "End of the newest run with this outcome, among the newest runs of the specialist.",
)
CONSECUTIVE_BROKEN = _metric(
    _DAGSTER,
    "consecutive_broken",
    "specialist",
    _COUNT,
    "Runs of the specialist that broke, one after another, until now.",
)
BELOW_IN_A_ROW = _metric(
    _DAGSTER,
    "below_in_a_row",
    "specialist",
    _COUNT,
    "Held candidates that were below the line, one after another, until now.",
)
RETRY_PENDING = _metric(
    _DAGSTER,
    "retry_pending",
    "specialist",
    _COUNT,
    "1 if the newest run broke and is retried or started over by itself, or if another run is queued or in progress.",
)
RUNS = _metric(_DAGSTER, "runs", "status", _COUNT, "Runs of all jobs that have not ended, by Dagster's status.")
OLDEST_QUEUED = _metric(
    _DAGSTER,
    "oldest_queued_run_timestamp_seconds",
    "",
    _TIME,
    "Creation of the run that has waited longest in the queue. Absent if no run waits.",
)
RUN_START = _metric(
    _DAGSTER,
    "run_start_timestamp_seconds",
    "specialist",
    _TIME,
    "Start of the specialist's run in progress, the oldest one. Absent if there is none.",
)
RUN_IN_PROGRESS = _metric(
    _DAGSTER,
    "run_in_progress_info",
    "specialist run_id url",
    _COUNT,
    "Always 1. That run, and its address in Dagster's UI.",
)
NEWEST_RUN = _metric(
    _DAGSTER,
    "newest_run_info",
    "specialist run_id url",
    _COUNT,
    "Always 1. The specialist's newest run that decided or broke, and its address in Dagster's UI.",
)
RUNS_ENDED = _metric(
    _DAGSTER,
    "runs_ended_total",
    "specialist outcome",
    _COUNT,
    "Retrainings that ended since the exporter started, by outcome.",
    Kind.COUNTER,
)
RUN_DURATION = _metric(
    _DAGSTER,
    "run_duration_seconds",
    "specialist",
    _SECONDS,
    "From start to end, of the retrainings that ended since the exporter started.",
    Kind.HISTOGRAM,
)
QUALITY = _metric(
    _DAGSTER,
    "quality_ratio",
    "specialist role metric",
    _RATIO,
    "precision, recall, f1 and accuracy in the newest report, of candidate and champion (role) on the same test rows.",
)
BRIER = _metric(
    _DAGSTER,
    "brier_score",
    "specialist role",
    _COUNT,
    "Squared errors of the probabilities in the newest report, from 0 (best) to 2: of candidate and champion, and of"
    " always answering how frequent the classes are (role prior).",
)
SHADOW_AGREEMENT = _metric(
    _DAGSTER,
    "shadow_agreement_ratio",
    "specialist",
    _RATIO,
    "Share of the plans since the champion's promotion on which candidate and champion agree, in the newest report."
    " Absent if no champion could be asked.",
)
SERVING_ON_LINE = _metric(
    _DAGSTER,
    "serving_on_line",
    "specialist",
    _COUNT,
    "0 if the check serving_on_line of the newest report says that the champion has sunk below the line, else 1."
    " Absent if no champion was asked.",
)
FLIP_RATE = _metric(
    _DAGSTER,
    "flip_rate_ratio",
    "specialist",
    _RATIO,
    "Share of resamples of the newest report's rows on which the gate decides otherwise. Near 0.5, it is a coin toss.",
)
MISSING_PLANS = _metric(
    _DAGSTER,
    "missing_reviewed_plans",
    "specialist",
    _COUNT,
    "Further reviewed plans that would settle an uncertain candidate. Absent if it is not uncertain, or on the line.",
)
MISSING_OPINIONS = _metric(
    _DAGSTER,
    "missing_opinions",
    "specialist label",
    _COUNT,
    "The opinions on those plans that people would label approve, and not_approve.",
)
TEST_ROWS = _metric(_DAGSTER, "test_rows", "specialist", _COUNT, "Test rows of the newest report.")
NEWEST_REPORT = _metric(
    _DAGSTER,
    "newest_report_info",
    "specialist week version url",
    _COUNT,
    "Always 1. The newest report: its week, the version that it is about, and its address in Dagster's UI.",
)
REPORT_TIME = _metric(_DAGSTER, "report_timestamp_seconds", "specialist", _TIME, "When the newest report was made.")
DATASET_ROWS = _metric(_DAGSTER, "dataset_rows", "specialist source", _COUNT, "Rows of the newest dataset, by source.")
PROVENANCE_ROWS = _metric(
    _DAGSTER,
    "dataset_provenance_rows",
    "specialist provenance",
    _COUNT,
    "Rows of the newest dataset, by who gave the feedback.",
)
LABEL_ROWS = _metric(
    _DAGSTER,
    "dataset_label_rows",
    "specialist label",
    _COUNT,
    "Rows of the newest dataset: reject, approve or review_required.",
)
SCRIPTED = _metric(
    _DAGSTER,
    "scripted_feedback_ratio",
    "specialist",
    _RATIO,
    "Share of feedback that scripts made, of all usable feedback in the window of the newest dataset.",
)
QUARANTINED = _metric(
    _DAGSTER, "quarantined_feedback", "specialist reason", _COUNT, "Feedback that the newest dataset rejected."
)
REJECTED = _metric(
    _DAGSTER, "rejected_feedback_ratio", "specialist", _RATIO, "Share of rejected feedback in the newest dataset."
)
SERVED_QUALITY = _metric(
    _DAGSTER,
    "served_quality_ratio",
    "specialist metric",
    _RATIO,
    "What the version in Production did in the newest measured week, by people's feedback: f1, auc, unattended (share"
    " of its reviewed opinions with a confidence of 0.8 or more) and unattended_precision (how many of these they"
    " approved); and estimated_f1, which its confidence promises for what nobody has reviewed yet.",
)
SERVED_OPINIONS = _metric(
    _DAGSTER,
    "served_opinions",
    "specialist by",
    _COUNT,
    "Opinions of that week: by a model, by its fallbacks, by a version that was replaced, or untold.",
)
SERVED_PSI = _metric(
    _DAGSTER,
    "served_largest_psi",
    "specialist",
    _COUNT,
    "How far the feature that has moved most is from what the version learned: the PSI. Small weeks may reach 0.25 by"
    " chance; nhm_served_check_warns knows.",
)
SERVED_WARNS = _metric(
    _DAGSTER,
    "served_check_warns",
    "specialist check",
    _COUNT,
    "1 if this check on served_quality warns of that week, else 0.",
)
SERVED_UNTIL = _metric(
    _DAGSTER,
    "served_measured_until_timestamp_seconds",
    "specialist",
    _TIME,
    "Until when that week was measured.",
)
AB_DIFFERENCE = _metric(
    _DAGSTER,
    "ab_test_auc_difference",
    "specialist bound",
    _COUNT,
    "AUC of the challenger minus that of the champion in the A/B test of that week, and the bounds of its interval"
    " (low, high), which hold at every look. Absent without a test, or with too few reviewed plans.",
)
LEARNED_UNTIL = _metric(
    _DAGSTER,
    "learned_until_timestamp_seconds",
    "specialist",
    _TIME,
    "End of the window that the specialist last learned from, whatever the outcome.",
)
HEARTBEAT = _metric(
    _DAGSTER,
    "daemon_heartbeat_timestamp_seconds",
    "daemon",
    _TIME,
    "Last sign of life of each of Dagster's daemons. Dagster itself calls a dead one healthy for up to 30 minutes.",
)
TICK_SOURCE_RUNNING = _metric(
    _DAGSTER, "tick_source_running", "kind name", _COUNT, "1 if the schedule or sensor (kind) is switched on, else 0."
)
LAST_TICK = _metric(
    _DAGSTER,
    "last_tick_timestamp_seconds",
    "kind name status",
    _TIME,
    "Newest tick of the schedule or sensor with this status (success, skipped, failure), among its newest ticks.",
)
FAILED_TICKS = _metric(
    _DAGSTER,
    "failed_ticks",
    "kind name",
    _COUNT,
    "Evaluations that failed, one after another, until now. 0 if the newest one succeeded.",
)
NEXT_TICK = _metric(
    _DAGSTER,
    "next_tick_timestamp_seconds",
    "kind name",
    _TIME,
    "When the schedule or sensor is due next. Absent if it is off.",
)
CODE_LOCATION_LOADS = _metric(
    _DAGSTER,
    "code_location_loads",
    "",
    _COUNT,
    "1 if a sensor was evaluated within the ten minutes before the sensor daemon's last sign of life, else 0: then"
    " Dagster cannot load the code. Absent if no sensor is on.",
)

_MLFLOW = Source.MLFLOW
IN_PRODUCTION = _metric(
    _MLFLOW, "in_production", "specialist", _COUNT, "1 if the specialist has a version in stage Production, else 0."
)
PRODUCTION = _metric(
    _MLFLOW,
    "production_info",
    "specialist model version data_version data_source",
    _COUNT,
    "Always 1. The version in stage Production, and the data that it learned from.",
)
PRODUCTION_SINCE = _metric(
    _MLFLOW,
    "production_since_timestamp_seconds",
    "specialist",
    _TIME,
    "When the version in Production was last changed.",
)
PRODUCTION_WINDOW_END = _metric(
    _MLFLOW,
    "production_window_end_timestamp_seconds",
    "specialist",
    _TIME,
    "End of the window that the version in Production learned from. Absent for a version from elsewhere.",
)
POINTER_AGREES = _metric(
    _MLFLOW,
    "pointer_agrees",
    "specialist",
    _COUNT,
    "1 if stage Production and alias `production` name the same version, else 0. Absent if there is neither.",
)

_MONGODB = Source.MONGODB
FEEDBACK_WAITING = _metric(
    _MONGODB,
    "feedback_waiting",
    "specialist",
    _COUNT,
    "Feedback documents since the end of the window that was last learned. Needs Dagster too.",
)
FOREIGN_MOVES = _metric(
    _MONGODB,
    "foreign_moves",
    "specialist",
    _COUNT,
    "Changes in Production by others that nobody has settled, as the registry sensor found them.",
)
OPEN_MOVE = _metric(
    _MONGODB,
    "open_move_timestamp_seconds",
    "specialist kind",
    _TIME,
    "Begin of the promotion, rollback or adoption (kind) in progress. Absent if there is none.",
)
ROLLOUT = _metric(
    _MONGODB, "rollout_info", "specialist version result", _COUNT, "Always 1. The newest rollout of the specialist."
)
ROLLOUT_TIME = _metric(_MONGODB, "rollout_timestamp_seconds", "specialist", _TIME, "End of that rollout.")
ROLLOUT_PODS = _metric(
    _MONGODB,
    "rollout_pods",
    "specialist answer",
    _COUNT,
    "Pods in that rollout that serve the version (serves), deny it (denies) or cannot be asked (unreachable).",
)
STORAGE = _metric(
    _MONGODB,
    "storage_bytes",
    "collection",
    "bytes",
    "Size on disk, with indexes, of each collection that the platform writes.",
)

OWN_METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order above."""
