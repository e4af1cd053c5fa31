"""The metrics by the names that dashboards and alerts of other systems already use.

Nothing pushes: these series are scraped like the others. Counters and histograms count since the exporter started.
"""

from typing import Final

from nhm_assets.monitoring.metric import Kind, Metric, Source


def _gauge(source: Source, name: str, labels: str, unit: str, meaning: str) -> Metric:
    return Metric(name, Kind.GAUGE, tuple(labels.split()), unit, meaning, source)


MODEL_STAGE: Final = _gauge(
    Source.MLFLOW,
    "mlflow_model_stage",
    "model_name stage version",
    "",
    "Always 1. The version in stage Production, and the candidate in stage Staging.",
)
MODEL_F1: Final = _gauge(
    Source.MLFLOW,
    "neural_hive_mlflow_model_f1",
    "specialist_type",
    "ratio",
    "F1 of the version in Production, as its MLflow run records it.",
)
PERFORMANCE_SCORE: Final = _gauge(
    Source.MLFLOW,
    "neural_hive_model_performance_score",
    "specialist_type",
    "ratio",
    "The same value: F1 of the version in Production.",
)
TRIGGERS: Final = Metric(
    "neural_hive_retraining_triggers_total",
    Kind.COUNTER,
    ("specialist_type", "status"),
    "",
    "Retrainings that ended since the exporter started: success if they decided something, failed if they broke.",
    Source.DAGSTER,
)
THRESHOLD: Final = _gauge(
    Source.SETTINGS,
    "neural_hive_retraining_feedback_threshold",
    "specialist_type",
    "",
    "The same value as nhm_feedback_threshold.",
)
FEEDBACK_COUNT: Final = _gauge(
    Source.MONGODB,
    "neural_hive_feedback_count_current",
    "specialist_type",
    "",
    "The same value as nhm_feedback_waiting.",
)
LAST_TRIGGER: Final = _gauge(
    Source.DAGSTER,
    "neural_hive_retraining_last_trigger_timestamp",
    "specialist_type",
    "seconds since 1970",
    "When the newest retraining of the specialist was requested.",
)
DURATION: Final = Metric(
    "neural_hive_retraining_mlflow_run_duration_seconds",
    Kind.HISTOGRAM,
    (),
    "seconds",
    "From start to end, of all retrainings that ended since the exporter started.",
    Source.DAGSTER,
)
PERFORMANCE: Final = _gauge(
    Source.DAGSTER,
    "neural_hive_retraining_model_performance",
    "specialist_type metric_name",
    "ratio",
    "precision, recall, f1 and accuracy of the newest candidate on its test rows.",
)
DATASET_SIZE: Final = _gauge(
    Source.DAGSTER,
    "neural_hive_retraining_dataset_size",
    "specialist_type dataset_type",
    "",
    "Rows of the newest dataset: train, validation, test and total.",
)
LAST_SUCCESS: Final = _gauge(
    Source.DAGSTER,
    "neural_hive_auto_retrain_last_success_timestamp",
    "specialist_type",
    "seconds since 1970",
    "End of the newest retraining that decided something, among the newest runs of the specialist.",
)

FIELD_METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order above."""
