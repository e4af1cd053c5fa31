"""What is in Production for each specialist, since when, and what was decided last. `nhm status` and the asset
`production_models` show the same rows.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from nhm_assets.domain.outcomes import HELD_BY, Outcome
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.registry.champions import Champions, champions
from nhm_assets.registry.history import newest_outcome, time_of
from nhm_assets.registry.recovery import last_move
from nhm_assets.registry.vocabulary import (
    DATA_SOURCE_TAG,
    DATA_VERSION_TAG,
    PARTITION_TAG,
    WINDOW_END_TAG,
    WINDOW_START_TAG,
)
from resources.mlflow_runs import runs_there

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities.model_registry import ModelVersion
    from pymongo.collection import Collection

    from resources.mlflow_reader import MlflowReader

Document = dict[str, Any]

SEVERAL: Final = "several"
"""Stands for the version where several are in stage Production."""
_SCORES: Final = ("precision", "recall", "f1")
_SHOWN: Final = {"f1": "F1"}


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
class Recorded:
    """What Dagster's records say of one specialist; see `recorded_runs`.

    Attributes:
        last: the last run, if the audit log may not have its outcome.
        served: version -> the newest of the last weeks in which it was measured.
    """

    last: LastOutcome | None
    served: "Mapping[str, ServedAgreement]"


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
    client: "MlflowReader", log: "Collection[Document] | None", recorded: "Mapping[str, Recorded]"
) -> list[ProductionRow]:
    """One row per specialist.

    Args:
        client: of the registry.
        log: the audit log; None if MongoDB does not answer.
        recorded: specialist -> what Dagster says; empty if its database does not answer.
    """
    moves = {who: last_move(log, who.registered_model) if log is not None else None for who in all_specialists()}
    audited = {who.registered_model: str(move["version"]) if move else None for who, move in moves.items()}
    found = champions(client, audited)
    runs = runs_there(client, [one.served.run_id for one in found.values() if one.served and one.served.run_id])
    rows = []
    for who, move in moves.items():
        said, row = recorded.get(str(who), Recorded(None, {})), _row(who, found[who.registered_model], move)
        # A run that was removed for good (`mlflow gc`) leaves the version behind.
        metrics = runs[row.run_id].data.metrics if row.run_id in runs else {}
        scores: dict[str, Any] = {name: metrics.get(f"test_{name}") for name in _SCORES}
        served, last = said.served.get(str(row.version)), _last_outcome(log, said.last, who)
        rows.append(replace(row, last=last, served=served, **scores))
    return rows


def _row(who: Specialist, found: Champions, move: Document | None) -> ProductionRow:
    """What the registry and the last move of the pointer say."""
    model, version = who.registered_model, found.served
    if len(found.numbers) > 1:
        return ProductionRow(str(who), model, SEVERAL)
    if version is None:
        return ProductionRow(str(who), model, None)
    tags = version.tags
    return ProductionRow(
        str(who),
        model,
        str(version.version),
        since=_since(move, version),
        window_start=tags.get(WINDOW_START_TAG),
        window_end=tags.get(WINDOW_END_TAG),
        data_version=tags.get(DATA_VERSION_TAG),
        data_source=tags.get(DATA_SOURCE_TAG),
        partition=tags.get(PARTITION_TAG),
        run_id=version.run_id or None,
    )


def _since(move: Document | None, version: "ModelVersion") -> datetime:
    """By the audit log; of a version that others put there, when it was last changed: MLflow records no moves."""
    if move and str(move["version"]) == str(version.version):
        return time_of(move)
    return datetime.fromtimestamp(version.last_updated_timestamp / 1000, UTC)


def _last_outcome(log: "Collection[Document] | None", ran: LastOutcome | None, who: Specialist) -> LastOutcome | None:
    entry = newest_outcome(log, who.registered_model) if log is not None else None
    decided = _of_entry(entry) if entry else None
    known = [one for one in (decided, ran) if one is not None]
    if decided and ran and decided.run_id == ran.run_id:
        return decided
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
