"""The same retraining as `nhm retrain`, as a script without Dagster.

It has no runs, events, checks, I/O managers or pictures. The work is the same, function by function and MLflow call by
MLflow call, for one week and these specialists, or all: `python -m benchmarks.bare_retrain WEEK [NAME ...]`.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.documents import NAMES
from nhm_assets.domain.dataset_schema import QUARANTINE
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.records import EvaluationReport, TrainedModel
from nhm_assets.domain.segments import segments_of
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.domain.stored_record import Record
from nhm_assets.estimators.calibration import fit_estimator
from nhm_assets.estimators.families import PARAMETERS
from nhm_assets.estimators.fitting import learning_rows
from nhm_assets.evaluation.evaluate import evaluate as evaluate_version
from nhm_assets.evaluation.gate import GateRules, failed_gate
from nhm_assets.evaluation.gate import judge as judge_report
from nhm_assets.feedback.dataset_builder import WindowRead, assemble, describe, read_window
from nhm_assets.feedback.dataset_rules import QualityRules, judge_dataset
from nhm_assets.feedback.quarantine import reason_counts, replace_quarantine
from nhm_assets.feedback.reader import Reader
from nhm_assets.feedback.stored_features import ensure_index, write_back
from nhm_assets.promotion.protocol import Request, promote
from nhm_assets.registry.audit_log import AUDIT_LOG, evidence, record_decision, record_registration, subject
from nhm_assets.registry.transitions import registry_faults
from nhm_assets.registry.versions import version_in_production
from nhm_assets.registry.vocabulary import STAGING
from nhm_assets.resource_factories import mlflow_of, mongo_of
from nhm_assets.served.measure import Measurement
from nhm_assets.served.monitoring import write_monitoring
from nhm_assets.settings import Settings
from nhm_assets.training.code_version import code_version
from nhm_assets.training.registration import find_version, log_fit, log_inputs, register, stage_candidate
from nhm_assets.training.serving_contract import judge_version
from nhm_assets.training.stale_runs import end_stale_runs
from nhm_assets.training.training_spec import TrainingSpec
from resources.mongo import read_consistently

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.database import Database

    from resources.mlflow import Mlflow

Document = dict[str, Any]


@dataclass(frozen=True)
class ScriptRun:
    """Stands in for a Dagster run in the audit log and in tags."""

    run_id: str
    job_name: str = "bare_retrain"
    parent_run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


def main(week: str, *names: str) -> None:
    settings = Settings.load()
    mlflow = mlflow_of(settings)
    with mongo_of(settings).database() as database, mlflow.client() as client:
        for specialist in names or all_specialists():
            partition = Partition.parse(week, specialist)
            run = ScriptRun(f"bare-{partition.key}")
            frame = build_dataset(database, partition, run, settings)
            trained = train(client, mlflow, database, frame, partition, run, settings)
            report, failed = evaluate(client, database, frame, trained, partition, settings)
            print(decide(client, database, report, failed, run, settings))
            measure_served(database, mlflow, partition, settings)


def build_dataset(
    database: "Database[Document]", partition: Partition, run: ScriptRun, settings: Settings
) -> pd.DataFrame:
    """Turn documents into rows, quarantine and stored features, and save the rows as Parquet."""
    now = settings.now()
    window = partition.window(days=settings.feedback_window_days, now=now)
    ensure_index(database[NAMES.features])

    def read(session) -> WindowRead:
        reader = Reader(database, NAMES, partition.specialist, session)
        return read_window(reader, window, settings.selection)

    found, _ = read_consistently(database, read)
    kept = replace_quarantine(database[QUARANTINE], found.quarantine, partition=partition, run_id=run.run_id, now=now)
    write_back(database[NAMES.features], found.computed, now)
    frame = assemble(
        found,
        partition,
        window,
        min_samples=settings.min_real_samples,
        synthetic_fallback=settings.synthetic_fallback,
    )
    frame.attrs = describe(frame, found, reason_counts(kept), window)
    frame.to_parquet(_path(settings, partition, "feedback_dataset", "parquet"), index=False, compression="zstd")
    rules = QualityRules(
        min_real_samples=settings.min_real_samples,
        max_feedback_age_days=settings.max_feedback_age_days,
        max_rejected_fraction=settings.max_rejected_fraction,
    )
    assert all(verdict.passed or verdict.warns_only for verdict in judge_dataset(frame, rules))
    return frame


def train(
    client: "MlflowClient",
    mlflow: "Mlflow",
    database: "Database[Document]",
    frame: pd.DataFrame,
    partition: Partition,
    run: ScriptRun,
    settings: Settings,
) -> TrainedModel:
    """Fit, log and register a version, move it to Staging, and record it."""
    spec = TrainingSpec.of(
        frame, partition, code_version=code_version(), parameters=PARAMETERS, dagster_run_id=run.run_id
    )
    experiment = mlflow.experiment_id(partition.specialist.experiment)
    end_stale_runs(client, experiment, partition, lambda _: True)
    assert find_version(client, spec) is None, "the MLflow of this measurement is not fresh"
    rows = learning_rows(frame)
    with _mlflow_run(client, experiment, spec) as logger:
        log_inputs(logger, frame, spec, str(_path(settings, partition, "feedback_dataset", "parquet")))
        started = time.monotonic()
        fitted = fit_estimator(
            rows,
            PARAMETERS,
            threads=settings.training_threads,
            segments=segments_of(frame)[rows.index],
            served=settings.served_classes,
            calibration=settings.calibration,
        )
        seconds = time.monotonic() - started
        log_fit(logger, PARAMETERS, fitted.calibration, {"fit_seconds": seconds, "rows_learned": len(rows)})
        trained = register(logger, client, fitted, frame, spec, PARAMETERS)
    stage_candidate(client, trained, now=settings.now())
    record_registration(database[AUDIT_LOG], trained, stage=STAGING, run=run, now=settings.now())
    _store(settings, partition, "trained_model", trained)
    return trained


@contextmanager
def _mlflow_run(client: "MlflowClient", experiment_id: str, spec: TrainingSpec) -> Iterator[Any]:
    """MLflow's own functions, logging into a new run: dagster-mlflow's class has the same."""
    import mlflow

    run_id = client.create_run(experiment_id, run_name=str(spec.partition.key), tags=spec.tags()).info.run_id
    with mlflow.start_run(run_id=run_id):
        yield mlflow


def evaluate(
    client: "MlflowClient",
    database: "Database[Document]",
    frame: pd.DataFrame,
    trained: TrainedModel,
    partition: Partition,
    settings: Settings,
) -> tuple[EvaluationReport, list[str]]:
    """Check the version and score it beside the champion. Returns the report and the failed gate checks."""
    from mlflow.entities import Metric

    log = database[AUDIT_LOG]
    judged = judge_version(client, log, trained.model, trained.version, frame, settings.served_classes)
    assert all(verdict.passed for verdict in judged)
    champion = version_in_production(client, trained.model)
    report = evaluate_version(client, log, frame, trained, champion, settings)
    moment = int(time.time() * 1000)
    numbers = report.candidate.model_dump(exclude={"support", "confusion"})
    client.log_batch(
        report.run_id, metrics=[Metric(f"test_{name}", value, moment, 0) for name, value in numbers.items()]
    )
    _store(settings, partition, "evaluation_report", report)
    return report, failed_gate(judge_report(report, GateRules.of(settings, report.specialist)))


def decide(
    client: "MlflowClient",
    database: "Database[Document]",
    report: EvaluationReport,
    failed: list[str],
    run: ScriptRun,
    settings: Settings,
) -> str:
    """Promote the candidate, or record why it is held. Returns a line that says so."""
    outcome = _outcome(client, database, report, failed, run, settings)
    return f"{report.specialist} {outcome} F1 {report.candidate.f1:.6f}"


def _outcome(
    client: "MlflowClient",
    database: "Database[Document]",
    report: EvaluationReport,
    failed: list[str],
    run: ScriptRun,
    settings: Settings,
) -> Outcome:
    log, now = database[AUDIT_LOG], settings.now()
    if failed:
        record_decision(log, report, Outcome.HELD, reason=f"held by {', '.join(failed)}", run=run, now=now)
        return Outcome.HELD
    fields = {**subject(report), **evidence(report), "reason": "every gate check passed", "actor": run.job_name}
    request = Request(report.model, report.version, report.window_end, report.compared_with, fields)
    decision = promote(client, log, request, now=now, wait_s=settings.promotion_wait_s)
    assert registry_faults(client, report.model, report.version) == []
    return decision.outcome


def measure_served(database: "Database[Document]", mlflow: "Mlflow", partition: Partition, settings: Settings) -> None:
    """Measure what was served in the week, and keep what the promoted version learned, to compare later weeks with."""
    quality = Measurement(database, mlflow, partition, settings, settings.now(), _warn).measure()
    write_monitoring(database, quality, warn=_warn)
    assert not quality.faults, quality.faults
    _store(settings, partition, "served_quality", quality)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


def _store(settings: Settings, partition: Partition, asset: str, record: Record) -> None:
    _path(settings, partition, asset, "json").write_text(record.model_dump_json(indent=2))


def _path(settings: Settings, partition: Partition, asset: str, kind: str) -> Path:
    path = Path(settings.storage) / asset / partition.specialist / f"{partition.week}.{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main(*sys.argv[1:])
