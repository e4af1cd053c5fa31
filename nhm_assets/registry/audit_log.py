"""The audit log in MongoDB: who moved which model version, from which stage to which, why, and on what evidence.

The `_id` of a document is derived from the event, so a repeated run adds nothing twice.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.dataset_words import TEST
from nhm_assets.domain.outcomes import BROKEN_BY_TAG, REASON_TAG, HeldAs, Outcome
from nhm_assets.runs.tags import PARENT_TAG, PROCESS_TAG, RETRY_NUMBER_TAG, attempts

if TYPE_CHECKING:
    from dagster import DagsterRun
    from pymongo.collection import Collection

    from nhm_assets.domain.partitions import Partition
    from nhm_assets.domain.records import EvaluationReport, Metrics, TrainedModel

AUDIT_LOG: Final = "model_audit_log"
ACTOR_TAG: Final = "nhm/actor"
_LONGEST_ROW: Final = 100

_ORIGINS: Final = {
    "dagster/backfill": "backfill",
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    PROCESS_TAG: "command",
}
"""Tag of a run -> from where it was started."""

Document = dict[str, Any]


def actor(run: "DagsterRun") -> str:
    """The person or program that launched a run, else the Dagster job."""
    return run.tags.get(ACTOR_TAG) or run.tags.get("user") or f"dagster job {run.job_name}"


def origin(run: "DagsterRun") -> str:
    """From where a run was started: backfill, schedule, sensor, command or UI."""
    if (run.parent_run_id or run.tags.get(PARENT_TAG)) and RETRY_NUMBER_TAG not in run.tags:
        # Dagster copies the tags of the first run to a person's re-execution.
        return "UI"
    return next((word for tag, word in _ORIGINS.items() if run.tags.get(tag)), "UI")


def who(run: "DagsterRun") -> dict[str, str]:
    """The fields of an entry that say who launched its run, and from where."""
    return {"actor": actor(run), "origin": origin(run)}


def _learned_rows(trained: "TrainedModel") -> str:
    """How many rows of its dataset a version learned; an increment counts feedback, each once."""
    if trained.increment:
        return f"{trained.increment.feedback} rows"
    rows = sum(trained.rows.values())
    return f"{rows - trained.rows.get(TEST, 0)} of {rows} rows"


def record_registration(
    log: "Collection[Document]", trained: "TrainedModel", *, stage: str, run: "DagsterRun", now: datetime
) -> None:
    """Record that a new version entered a stage: Staging, or none while an A/B test runs.

    A model that somebody deleted in MLflow gets its numbers a second time. Then the entry of the earlier version of
    that number stays under another id.
    """
    entry = {
        "kind": "registered",
        **subject(trained),
        "from_stage": "None",
        "to_stage": stage,
        "reason": f"trained on {_learned_rows(trained)} ({trained.data_source})",
        "rows": trained.rows,
        "sha256": trained.sha256,
        **({"increment_of": trained.increment.frozen} if trained.increment else {}),
    }
    entry_id = _registration_id(trained.model, trained.version)
    earlier = log.find_one({"_id": entry_id})
    # What was only found in the registry does not take the place of what was registered here.
    if earlier and not trained.reused and earlier.get("mlflow_run_id") != trained.run_id:
        kept = {**earlier, "_id": f"{entry_id}:{earlier.get('mlflow_run_id')}"}
        log.replace_one({"_id": kept["_id"]}, kept, upsert=True)
        log.delete_one({"_id": entry_id, "mlflow_run_id": earlier.get("mlflow_run_id")})
    _add(log, entry_id, entry, run, now)


def registration(log: "Collection[Document]", model: str, version: str) -> Document | None:
    """The entry of a version that this platform registered, with the SHA-256 of its file; None for any other."""
    return log.find_one({"_id": _registration_id(model, version)})


def learned_in_full(log: "Collection[Document]", model: str, version: str) -> str:
    """The version that an increment corrects; any other version itself."""
    entry = registration(log, model, version) or {}
    return str(entry.get("increment_of", version))


def _registration_id(model: str, version: str) -> str:
    return f"registered:{model}:{version}"


def record_decision(
    log: "Collection[Document]",
    report: "EvaluationReport",
    outcome: Outcome,
    *,
    reason: str,
    held_as: HeldAs | None = None,
    thresholds: Mapping[str, float] | None = None,
    run: "DagsterRun",
    now: datetime,
) -> None:
    """Record that a candidate was not promoted or that its promotion was refused, why, and the required thresholds."""
    held = {"held_as": str(held_as)} if held_as else {}
    entry = {"kind": str(outcome), **subject(report), "reason": reason, **held, **evidence(report, thresholds)}
    _add(log, f"{outcome}:{report.model}:{report.version}:{run.run_id}", entry, run, now)


def below_in_a_row(log: "Collection[Document]", model: str) -> int:
    """How many of the newest candidates were held as `below`, since one was promoted or held as `uncertain`.

    Runs that decided about no new candidate do not count: they are superseded or unchanged, had too little data, or
    broke. A run that died after it had recorded its decision, and its retry, decide about the same version.
    """
    entries = log.find(_about_candidates(model), {"held_as": 1, "version": 1}).sort("at", -1).limit(_LONGEST_ROW)
    below = takewhile(lambda entry: entry.get("held_as") == HeldAs.BELOW, entries)
    return len({entry["version"] for entry in below})


def last_decision(log: "Collection[Document]", model: str) -> Document | None:
    """The entry of the newest candidate that was promoted or held; None if there is none."""
    return log.find_one(_about_candidates(model), sort=[("at", -1)])


def _about_candidates(model: str) -> Document:
    return {"model": model, "kind": {"$in": [str(Outcome.HELD), str(Outcome.PROMOTED)]}}


def record_broken(log: "Collection[Document]", partition: "Partition", *, run: "DagsterRun", now: datetime) -> None:
    """Record that a retraining broke, and why."""
    entry = {
        "kind": str(Outcome.BROKEN),
        "specialist": str(partition.specialist),
        "week": partition.week,
        "model": partition.specialist.registered_model,
        "reason": run.tags.get(REASON_TAG, ""),
        "broken_by": run.tags.get(BROKEN_BY_TAG),
    }
    _add(log, f"{Outcome.BROKEN}:{run.run_id}", entry, run, now)


def is_repeat(
    log: "Collection[Document]", report: "EvaluationReport", outcome: Outcome, reason: str, *, run: "DagsterRun"
) -> bool:
    """Whether an earlier run had the same outcome for this version, for the same reason.

    The promotion by this run, or by an interrupted attempt of it, is already in the log. It is not an earlier run.
    """
    same: Document = {"kind": str(outcome), "model": report.model, "version": report.version}
    if outcome is Outcome.PROMOTED:
        # Another version has its number if the model was deleted in MLflow.
        same |= {"mlflow_run_id": report.run_id}
    else:
        same |= {"report_digest": report.digest(), "$or": [{"reason": reason}, _as_earlier_releases(reason)]}
    if log.find_one({**same, "dagster_run_id": {"$in": sorted(attempts(run))}}):
        return False
    return log.find_one(same) is not None


def _as_earlier_releases(reason: str) -> Document:
    """The condition for the same decision in their words: `held by a as below: ...` for `held by a (...): ...`."""
    held_by, _, _ = reason.partition(" (")
    return {"reason": {"$regex": f"^{re.escape(held_by)} as (below|uncertain): "}}


def evidence(report: "EvaluationReport", thresholds: Mapping[str, float] | None = None) -> Document:
    """The evidence of a decision: metrics of candidate and champion, how sure it is, and the digest of the report.

    Args:
        report: what was judged.
        thresholds: of precision, recall and f1, by which it was judged; None if they are not recorded.
    """
    champion = report.champion
    return {
        "metrics": _headline(report.candidate),
        **({"thresholds": dict(thresholds)} if thresholds else {}),
        "champion": {"version": champion.version, **_headline(champion.metrics)} if champion else None,
        "flip_rate": report.flip_rate,
        "settling": report.settling.model_dump() if report.settling else None,
        "report_digest": report.digest(),
    }


def _headline(metrics: "Metrics") -> dict[str, float]:
    return metrics.model_dump(include={"precision", "recall", "f1", "accuracy"})


def subject(record: "TrainedModel | EvaluationReport") -> Document:
    """The fields that identify a version, its data and its training run."""
    return {
        "specialist": record.specialist,
        "week": record.week,
        "model": record.model,
        "version": record.version,
        "window": {"start": record.window_start, "end": record.window_end},
        "data_version": record.data_version,
        "mlflow_run_id": record.run_id,
    }


def _add(
    log: "Collection[Document]", entry_id: str, entry: Mapping[str, Any], run: "DagsterRun", now: datetime
) -> None:
    source = {"dagster_run_id": run.run_id, **who(run), "at": now}
    log.update_one({"_id": entry_id}, {"$setOnInsert": {**entry, **source}}, upsert=True)
