"""The platform's own metrics, `nhm_*`. docs/metrics.md is made from this table."""

from typing import Final

from nhm_assets.monitoring.metric import Kind, Metric, Source

_COUNT: Final = ""
_SECONDS: Final = "seconds"
_RATIO: Final = "ratio"
_TIME: Final = "seconds since 1970"


def _gauge(source: Source, name: str, labels: str, unit: str, meaning: str) -> Metric:
    return Metric(f"nhm_{name}", Kind.GAUGE, tuple(labels.split()), unit, meaning, source)


_EXPORTER = Source.EXPORTER
UP = _gauge(_EXPORTER, "up", "source", _COUNT, "1 if the last refresh of the source succeeded in time, else 0.")
REFRESH_AGE = _gauge(
    _EXPORTER, "refresh_age_seconds", "source", _SECONDS, "Time since the last refresh of the source that succeeded."
)
REFRESH_DURATION = _gauge(
    _EXPORTER, "refresh_duration_seconds", "source", _SECONDS, "How long that refresh of the source took."
)
BUILD = _gauge(_EXPORTER, "exporter_info", "version", _COUNT, "Always 1. The version of the platform that exports.")

_SETTINGS = Source.SETTINGS
QUALITY_THRESHOLD = _gauge(
    _SETTINGS,
    "quality_threshold_ratio",
    "specialist metric",
    _RATIO,
    "What precision, recall or f1 of a candidate must reach: PRECISION_THRESHOLD, RECALL_THRESHOLD, F1_THRESHOLD.",
)
FEEDBACK_THRESHOLD = _gauge(
    _SETTINGS,
    "feedback_threshold",
    "specialist",
    _COUNT,
    "New feedback documents that start a retraining: RETRAINING_FEEDBACK_THRESHOLD.",
)
REJECTED_THRESHOLD = _gauge(
    _SETTINGS,
    "rejected_threshold_ratio",
    "",
    _RATIO,
    "Share of rejected feedback that is too much: MAX_REJECTED_FRACTION.",
)

_DAGSTER = Source.DAGSTER
LAST_OUTCOME = _gauge(
    _DAGSTER,
    "last_outcome",
    "specialist outcome",
    _COUNT,
    "1 for the outcome of the specialist's newest run that decided or broke, 0 for the others. Absent without one.",
)
OUTCOME_TIME = _gauge(
    _DAGSTER,
    "outcome_timestamp_seconds",
    "specialist outcome",
    _TIME,
    "End of the newest run with this outcome, among the newest runs of the specialist.",
)
CONSECUTIVE_BROKEN = _gauge(
    _DAGSTER,
    "consecutive_broken",
    "specialist",
    _COUNT,
    "Runs of the specialist that broke, one after another, until now.",
)
RETRY_PENDING = _gauge(
    _DAGSTER,
    "retry_pending",
    "specialist",
    _COUNT,
    "1 if the newest run broke and is retried or started over by itself, or if another run is queued or in progress.",
)
RUNS = _gauge(_DAGSTER, "runs", "status", _COUNT, "Runs of all jobs that have not ended, by Dagster's status.")
OLDEST_QUEUED = _gauge(
    _DAGSTER,
    "oldest_queued_run_timestamp_seconds",
    "",
    _TIME,
    "Creation of the run that has waited longest in the queue. Absent if no run waits.",
)
RUN_START = _gauge(
    _DAGSTER,
    "run_start_timestamp_seconds",
    "specialist",
    _TIME,
    "Start of the specialist's run in progress, the oldest one. Absent if there is none.",
)
RUNS_ENDED = Metric(
    "nhm_runs_ended_total",
    Kind.COUNTER,
    ("specialist", "outcome"),
    _COUNT,
    "Retrainings that ended since the exporter started, by outcome.",
    _DAGSTER,
)
RUN_DURATION = Metric(
    "nhm_run_duration_seconds",
    Kind.HISTOGRAM,
    ("specialist",),
    _SECONDS,
    "From start to end, of the retrainings that ended since the exporter started.",
    _DAGSTER,
)
QUALITY = _gauge(
    _DAGSTER,
    "quality_ratio",
    "specialist role metric",
    _RATIO,
    "precision, recall, f1 and accuracy in the newest report, of candidate and champion (role) on the same test rows.",
)
SERVING_ON_LINE = _gauge(
    _DAGSTER,
    "serving_on_line",
    "specialist",
    _COUNT,
    "0 if the champion itself has sunk below the thresholds on the newest report's rows that are new to it, else 1."
    " Absent if no champion was asked.",
)
TEST_ROWS = _gauge(_DAGSTER, "test_rows", "specialist", _COUNT, "Test rows of the newest report.")
REPORT_TIME = _gauge(_DAGSTER, "report_timestamp_seconds", "specialist", _TIME, "When the newest report was made.")
DATASET_ROWS = _gauge(_DAGSTER, "dataset_rows", "specialist source", _COUNT, "Rows of the newest dataset, by source.")
PROVENANCE_ROWS = _gauge(
    _DAGSTER,
    "dataset_provenance_rows",
    "specialist provenance",
    _COUNT,
    "Rows of the newest dataset, by who gave the feedback.",
)
LABEL_ROWS = _gauge(
    _DAGSTER,
    "dataset_label_rows",
    "specialist label",
    _COUNT,
    "Rows of the newest dataset: reject, approve or review_required.",
)
SCRIPTED = _gauge(
    _DAGSTER,
    "scripted_feedback_ratio",
    "specialist",
    _RATIO,
    "Share of feedback that scripts made, of all usable feedback in the window of the newest dataset.",
)
QUARANTINED = _gauge(
    _DAGSTER,
    "quarantined_feedback",
    "specialist reason",
    _COUNT,
    "Feedback documents that the newest dataset rejected, by reason.",
)
REJECTED = _gauge(
    _DAGSTER, "rejected_feedback_ratio", "specialist", _RATIO, "Share of rejected feedback in the newest dataset."
)
LEARNED_UNTIL = _gauge(
    _DAGSTER,
    "learned_until_timestamp_seconds",
    "specialist",
    _TIME,
    "End of the window that the specialist last learned from, whatever the outcome.",
)
HEARTBEAT = _gauge(
    _DAGSTER,
    "daemon_heartbeat_timestamp_seconds",
    "daemon",
    _TIME,
    "Last sign of life of each of Dagster's daemons. Dagster itself calls a dead one healthy for up to 30 minutes.",
)
TICK_SOURCE_RUNNING = _gauge(
    _DAGSTER, "tick_source_running", "kind name", _COUNT, "1 if the schedule or sensor (kind) is switched on, else 0."
)
LAST_TICK = _gauge(
    _DAGSTER,
    "last_tick_timestamp_seconds",
    "kind name status",
    _TIME,
    "Newest tick of the schedule or sensor with this status (success, skipped, failure), among its newest ticks.",
)
FAILED_TICKS = _gauge(
    _DAGSTER,
    "failed_ticks",
    "kind name",
    _COUNT,
    "Evaluations that failed, one after another, until now. 0 if the newest one succeeded.",
)
NEXT_TICK = _gauge(
    _DAGSTER,
    "next_tick_timestamp_seconds",
    "kind name",
    _TIME,
    "When the schedule or sensor is due next. Absent if it is off.",
)

_MLFLOW = Source.MLFLOW
IN_PRODUCTION = _gauge(
    _MLFLOW, "in_production", "specialist", _COUNT, "1 if the specialist has a version in stage Production, else 0."
)
PRODUCTION = _gauge(
    _MLFLOW,
    "production_info",
    "specialist model version data_version data_source",
    _COUNT,
    "Always 1. The version in stage Production, and the data that it learned from.",
)
PRODUCTION_SINCE = _gauge(
    _MLFLOW,
    "production_since_timestamp_seconds",
    "specialist",
    _TIME,
    "When the version in Production was last changed.",
)
PRODUCTION_WINDOW_END = _gauge(
    _MLFLOW,
    "production_window_end_timestamp_seconds",
    "specialist",
    _TIME,
    "End of the window that the version in Production learned from. Absent for a version from elsewhere.",
)
POINTER_AGREES = _gauge(
    _MLFLOW,
    "pointer_agrees",
    "specialist",
    _COUNT,
    "1 if stage Production and alias `production` name the same version, else 0. Absent if there is neither.",
)

_MONGODB = Source.MONGODB
FEEDBACK_WAITING = _gauge(
    _MONGODB,
    "feedback_waiting",
    "specialist",
    _COUNT,
    "Feedback documents since the end of the window that was last learned. Needs Dagster too.",
)
FOREIGN_MOVES = _gauge(
    _MONGODB,
    "foreign_moves",
    "specialist",
    _COUNT,
    "Moves of the Production pointer by others that nobody has settled, as the registry sensor found them.",
)
OPEN_MOVE = _gauge(
    _MONGODB,
    "open_move_timestamp_seconds",
    "specialist kind",
    _TIME,
    "Begin of the promotion, rollback or adoption (kind) in progress. Absent if there is none.",
)
ROLLOUT = _gauge(
    _MONGODB, "rollout_info", "specialist version result", _COUNT, "Always 1. The newest rollout of the specialist."
)
ROLLOUT_TIME = _gauge(_MONGODB, "rollout_timestamp_seconds", "specialist", _TIME, "End of that rollout.")
ROLLOUT_PODS = _gauge(
    _MONGODB,
    "rollout_pods",
    "specialist answer",
    _COUNT,
    "Pods in that rollout that serve the version (serves), deny it (denies) or cannot be asked (unreachable).",
)
STORAGE = _gauge(
    _MONGODB,
    "storage_bytes",
    "collection",
    "bytes",
    "Size on disk, with indexes, of each collection that the platform writes.",
)

OWN_METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order above."""
