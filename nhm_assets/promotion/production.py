"""What is in Production for each specialist, since when, and what was decided last. `nhm status` and the asset
`production_models` show the same rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetRecordsFilter

from nhm_assets.domain.dagster_names import SERVED_QUALITY
from nhm_assets.domain.errors import RegistryError
from nhm_assets.domain.outcomes import HELD_BY, REASON_TAG, Outcome
from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.registry.history import newest_outcome, time_of
from nhm_assets.registry.recovery import champion_of, last_move
from nhm_assets.registry.versions import version_in_production
from nhm_assets.registry.vocabulary import (
    DATA_SOURCE_TAG,
    DATA_VERSION_TAG,
    PARTITION_TAG,
    WINDOW_END_TAG,
    WINDOW_START_TAG,
)
from nhm_assets.runs.queries import end_of, last_ended_run, outcome_of
from nhm_assets.runs.tags import PARTITION_TAG as RUN_PARTITION_TAG
from resources.mlflow import run_if_any

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

Document = dict[str, Any]

SEVERAL: Final = "several"
"""Stands for the version where several are in stage Production."""
_SERVED_WEEKS: Final = 4
_SCORES: Final = ("precision", "recall", "f1")
_SHOWN: Final = {"f1": "F1"}
_ONLY_IN_DAGSTER: Final = (Outcome.INSUFFICIENT_DATA, Outcome.BROKEN)
"""Outcomes that the audit log may not have: of a run without a candidate, and of one that no daemon has reported."""


@dataclass(frozen=True)
class LastOutcome:
    """How the last run of a specialist ended, or who moved its version since.

    Attributes:
        outcome: of the run, or the kind of the move: `rolled_back`, `adopted`, `restored`, `foreign_move`.
        week: of the partition; None if it has none.
        run_id: of the Dagster run; None if there was none.
        held_as: `uncertain` or `below` if the candidate was held.
        missed: how far a candidate that the gate held is below the thresholds and the champion, in words.
        by_gate: false if a person, a deleted file or an A/B test holds the candidate.
    """

    outcome: str
    at: datetime
    reason: str
    week: str | None
    run_id: str | None
    held_as: str | None = None
    missed: str = ""
    by_gate: bool = True


@dataclass(frozen=True)
class ServedAgreement:
    """How far people agreed with the opinions of the version that serves.

    Attributes:
        week: the newest one that was measured.
        f1: of the opinions against the labels that people gave.
        reviewed: number of these opinions.
    """

    week: str
    f1: float
    reviewed: int


@dataclass(frozen=True)
class ProductionRow:
    """One specialist.

    Attributes:
        version: number of the version in Production; `several` if more than one is, None if none is.
        since: when it came into Production.
        window_start, window_end: of the feedback that it learned from, in ISO form; None for a version from elsewhere.
        precision, recall, f1: on its test rows, from its MLflow run; None if that is gone.
        partition: key of the partition that it was trained for.
        run_id: its MLflow run.
        last: None if nothing was decided yet, or if neither MongoDB nor Dagster was asked.
        served: None if it was not measured for this version in the last weeks.
    """

    specialist: str
    model: str
    version: str | None
    since: datetime | None = None
    window_start: str | None = None
    window_end: str | None = None
    data_version: str | None = None
    data_source: str | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    partition: str | None = None
    run_id: str | None = None
    last: LastOutcome | None = None
    served: ServedAgreement | None = None


def production_rows(
    client: "MlflowClient",
    log: "Collection[Document] | None",
    instance: "DagsterInstance | None",
    *,
    now: datetime,
) -> list[ProductionRow]:
    """One row per specialist.

    Args:
        client: of the registry.
        log: the audit log; None if MongoDB does not answer.
        instance: of Dagster; None if its database does not answer.
        now: what was served is looked for in the weeks before.
    """
    return [_row(client, log, instance, specialist, now) for specialist in all_specialists()]


def _row(
    client: "MlflowClient",
    log: "Collection[Document] | None",
    instance: "DagsterInstance | None",
    who: Specialist,
    now: datetime,
) -> ProductionRow:
    model, last = who.registered_model, _last_outcome(log, instance, who)
    try:
        version = version_in_production(client, model) if log is None else champion_of(client, log, model)
    except RegistryError:
        return ProductionRow(str(who), model, SEVERAL, last=last)
    if version is None:
        return ProductionRow(str(who), model, None, last=last)
    tags = version.tags
    return ProductionRow(
        str(who),
        model,
        str(version.version),
        since=_since(log, version),
        window_start=tags.get(WINDOW_START_TAG),
        window_end=tags.get(WINDOW_END_TAG),
        data_version=tags.get(DATA_VERSION_TAG),
        data_source=tags.get(DATA_SOURCE_TAG),
        partition=tags.get(PARTITION_TAG),
        run_id=version.run_id or None,
        last=last,
        served=_served(instance, who, str(version.version), now) if instance is not None else None,
        **_scores(client, version),
    )


def _scores(client: "MlflowClient", version: "ModelVersion") -> dict[str, float | None]:
    # A run that was removed for good (`mlflow gc`) leaves the version behind.
    run = run_if_any(client, version.run_id) if version.run_id else None
    metrics = run.data.metrics if run else {}
    return {name: metrics.get(f"test_{name}") for name in _SCORES}


def _since(log: "Collection[Document] | None", version: "ModelVersion") -> datetime:
    """By the audit log; of a version that others put there, when it was last changed: MLflow records no moves."""
    move = last_move(log, version.name) if log is not None else None
    if move and str(move["version"]) == str(version.version):
        return time_of(move)
    return datetime.fromtimestamp(version.last_updated_timestamp / 1000, UTC)


def _served(instance: "DagsterInstance", who: Specialist, version: str, now: datetime) -> ServedAgreement | None:
    """What `served_quality` measured of this version, of the newest of the last weeks."""
    weeks = [running_week(now - timedelta(weeks=ago)) for ago in range(_SERVED_WEEKS)]
    keys = [Partition(week, who).key for week in weeks]
    records = instance.fetch_materializations(
        AssetRecordsFilter(SERVED_QUALITY, asset_partitions=keys), limit=4 * _SERVED_WEEKS
    ).records
    for key, week in zip(keys, weeks, strict=True):
        # The newest materialization of a partition comes first.
        made = next((one.asset_materialization for one in records if one.partition_key == key), None)
        shown: dict[str, Any] = {name: value.value for name, value in made.metadata.items()} if made else {}
        if shown.get("version") == version and "f1" in shown and "reviewed" in shown:
            return ServedAgreement(week, float(shown["f1"]), int(shown["reviewed"]))
    return None


def _last_outcome(
    log: "Collection[Document] | None", instance: "DagsterInstance | None", who: Specialist
) -> LastOutcome | None:
    entry = newest_outcome(log, who.registered_model) if log is not None else None
    recorded = _of_entry(entry) if entry else None
    ran = _of_run(instance, who) if instance is not None else None
    known = [one for one in (recorded, ran) if one is not None]
    if recorded and ran and recorded.run_id == ran.run_id:
        return recorded
    return max(known, key=lambda one: one.at, default=None)


def _of_entry(entry: Document) -> LastOutcome:
    run_id = entry.get("dagster_run_id")
    kind, reason = str(entry["kind"]), str(entry.get("reason") or "")
    by_gate = reason.startswith(HELD_BY)
    missed = _missed(entry) if kind == Outcome.HELD and by_gate else ""
    return LastOutcome(kind, time_of(entry), reason, entry.get("week"), run_id, entry.get("held_as"), missed, by_gate)


def _missed(entry: Document) -> str:
    metrics, required = entry.get("metrics") or {}, entry.get("thresholds") or {}
    distances = {name: required[name] - metrics[name] for name in _SCORES if name in metrics and name in required}
    parts = [f"{_SHOWN.get(name, name)} by {distance:.3f}" for name, distance in distances.items() if distance > 0]
    champion = entry.get("champion") or {}
    if "f1" in metrics and champion.get("f1", 0.0) > metrics["f1"]:
        parts.append(f"the F1 of version {champion['version']} by {champion['f1'] - metrics['f1']:.3f}")
    return ", ".join(parts)


def _of_run(instance: "DagsterInstance", who: Specialist) -> LastOutcome | None:
    """The last run, if the audit log may not have its outcome."""
    record = last_ended_run(instance, who)
    outcome = outcome_of(record.dagster_run) if record else None
    if record is None or outcome not in _ONLY_IN_DAGSTER:
        return None
    run = record.dagster_run
    week = run.tags[RUN_PARTITION_TAG].partition("|")[2]
    return LastOutcome(str(outcome), end_of(record), run.tags.get(REASON_TAG, ""), week, run.run_id)
