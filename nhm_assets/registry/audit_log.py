"""The audit log in MongoDB: who moved which model version from where to where, why, and on what evidence.

A document is added once and found by an `_id` that follows from what happened, so that a repeated run
repeats nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.outcomes import BROKEN_BY_TAG, REASON_TAG, Outcome
from nhm_assets.runs.queries import attempts

if TYPE_CHECKING:
    from dagster import DagsterRun
    from pymongo.collection import Collection

    from nhm_assets.domain.partitions import Partition
    from nhm_assets.domain.records import EvaluationReport, Metrics, TrainedModel

AUDIT_LOG: Final = "model_audit_log"
ACTOR_TAG: Final = "nhm/actor"

Document = dict[str, Any]


def actor(run: "DagsterRun") -> str:
    """Who stands behind a run: the person or program that its launcher named, else Dagster."""
    return run.tags.get(ACTOR_TAG) or run.tags.get("user") or f"dagster job {run.job_name}"


def record_registration(
    log: "Collection[Document]", trained: "TrainedModel", *, run: "DagsterRun", now: datetime
) -> None:
    """A new version entered stage Staging."""
    entry = {
        "kind": "registered",
        **subject(trained),
        "from_stage": "None",
        "to_stage": "Staging",
        "reason": f"trained on {sum(trained.rows.values())} rows ({trained.data_source})",
        "rows": trained.rows,
        "dagster_run_id": run.run_id,
        "actor": actor(run),
        "at": now,
    }
    _add(log, f"registered:{trained.model}:{trained.version}", entry)


def record_decision(
    log: "Collection[Document]",
    report: "EvaluationReport",
    outcome: Outcome,
    *,
    reason: str,
    run: "DagsterRun",
    now: datetime,
) -> None:
    """A candidate stays where it is, and why."""
    entry = {
        "kind": str(outcome),
        **subject(report),
        "reason": reason,
        **evidence(report),
        "dagster_run_id": run.run_id,
        "actor": actor(run),
        "at": now,
    }
    _add(log, f"{outcome}:{report.model}:{report.version}:{run.run_id}", entry)


def record_broken(log: "Collection[Document]", partition: "Partition", *, run: "DagsterRun", now: datetime) -> None:
    """A retraining could not do its work, and by what it was broken."""
    entry = {
        "kind": str(Outcome.BROKEN),
        "specialist": str(partition.specialist),
        "week": partition.week,
        "model": partition.specialist.registered_model,
        "reason": run.tags.get(REASON_TAG, ""),
        "broken_by": run.tags.get(BROKEN_BY_TAG),
        "dagster_run_id": run.run_id,
        "actor": actor(run),
        "at": now,
    }
    _add(log, f"{Outcome.BROKEN}:{run.run_id}", entry)


def is_repeat(
    log: "Collection[Document]", report: "EvaluationReport", outcome: Outcome, reason: str, *, run: "DagsterRun"
) -> bool:
    """Whether an earlier run came to the same for this version: the same outcome for the same reason.

    A promotion is in the log by the time this is asked, and so is one that an interrupted attempt of this very
    run has made: neither is an earlier run's.
    """
    same: Document = {"kind": str(outcome), "model": report.model, "version": report.version}
    if outcome is not Outcome.PROMOTED:
        same |= {"report_digest": report.digest(), "reason": reason}
    if log.find_one({**same, "dagster_run_id": {"$in": sorted(attempts(run))}}):
        return False
    return log.find_one(same) is not None


def evidence(report: "EvaluationReport") -> Document:
    """What a decision rests on: metrics of candidate and champion, and the report's digest."""
    champion = report.champion
    return {
        "metrics": _headline(report.candidate),
        "champion": {"version": champion.version, **_headline(champion.metrics)} if champion else None,
        "report_digest": report.digest(),
    }


def _headline(metrics: "Metrics") -> dict[str, float]:
    return metrics.model_dump(include={"precision", "recall", "f1", "accuracy"})


def subject(record: "TrainedModel | EvaluationReport") -> Document:
    """The fields that name a version, its data and its training run."""
    return {
        "specialist": record.specialist,
        "week": record.week,
        "model": record.model,
        "version": record.version,
        "window": {"start": record.window_start, "end": record.window_end},
        "data_version": record.data_version,
        "mlflow_run_id": record.run_id,
    }


def _add(log: "Collection[Document]", entry_id: str, entry: Mapping[str, Any]) -> None:
    log.update_one({"_id": entry_id}, {"$setOnInsert": entry}, upsert=True)
