"""What the Dagster instance has recorded of evaluations: reports, verdicts, promotions and rollbacks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterInstance, RunsFilter
from pydantic import ValidationError

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, PROMOTED_VERSION
from nhm_assets.domain.dagster_internals import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from nhm_assets.domain.dagster_names import REPORT_METADATA
from nhm_assets.domain.errors import DataError
from nhm_assets.domain.outcomes import GATE_CHECKS, OUTCOME_TAG, ROLLED_BACK
from nhm_assets.domain.records import EvaluationReport
from nhm_assets.evaluation.policy_replay import Move, RecordedReport

if TYPE_CHECKING:
    from dagster import AssetMaterialization, AssetObservation, EventLogRecord

_PAGE: Final = 500
_RUNS: Final = 200
"""Runs per query."""


@dataclass(frozen=True)
class Recorded:
    """Everything that a replay needs, oldest first.

    Attributes:
        unreadable: number of reports that this release cannot read.
    """

    reports: list[RecordedReport]
    moves: list[Move]
    unreadable: int


def recorded_evaluations(instance: DagsterInstance, specialist: str | None = None) -> Recorded:
    """Read all recorded reports with their verdicts, and the moves of the champion.

    Args:
        instance: that recorded them.
        specialist: read those of this one alone.
    """
    found, unreadable = [], 0
    for record in _events(instance, EVALUATION_REPORT, "fetch_materializations"):
        content = _metadata(record.asset_materialization, REPORT_METADATA)
        if content is None:
            continue
        try:
            report = EvaluationReport.model_validate(content)
        except (ValidationError, DataError):
            unreadable += 1
            continue
        if specialist in (None, report.specialist):
            found.append((report, record))
    moves = [move for move in _moves(instance) if specialist in (None, move.specialist)]
    failed = _failed_checks(instance)
    partial = _without_promotion(instance, [record.run_id for _, record in found])
    reports = [
        RecordedReport(
            report=report,
            at=_time(record),
            run_id=record.run_id,
            failed=failed.get((record.run_id, record.partition_key or "")),
            for_promotion=record.run_id not in partial,
        )
        for report, record in found
    ]
    return Recorded(reports, moves, unreadable)


def _moves(instance: DagsterInstance) -> list[Move]:
    """Promotions and rollbacks, oldest first."""
    found = []
    for record in _events(instance, PROMOTED_VERSION, "fetch_materializations"):
        names = [_metadata(record.asset_materialization, name) for name in ("specialist", "version")]
        if all(names):
            found.append(Move(str(names[0]), str(names[1]), _time(record), "promotion"))
    for record in _events(instance, PROMOTED_VERSION, "fetch_observations"):
        observation = record.asset_observation
        if observation is None or observation.tags.get(OUTCOME_TAG) != ROLLED_BACK:
            continue
        specialist, version, left = (_metadata(observation, name) for name in ("specialist", "version", "from_version"))
        if specialist and version:
            found.append(Move(str(specialist), str(version), _time(record), "rollback", left and str(left)))
    return sorted(found, key=lambda move: move.at)


def _events(instance: DagsterInstance, asset: AssetKey, fetch: str) -> Iterator["EventLogRecord"]:
    """All events of an asset, oldest first."""
    cursor = None
    while True:
        page = getattr(instance, fetch)(asset, limit=_PAGE, cursor=cursor, ascending=True)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor


def _failed_checks(instance: DagsterInstance) -> dict[tuple[str, str], tuple[str, ...]]:
    """Run and partition -> the gate checks that failed there, in the order of the gate."""
    failed: dict[tuple[str, str], tuple[str, ...]] = {}
    for name in GATE_CHECKS:
        for record in _executions(instance, AssetCheckKey(EVALUATION_REPORT, name)):
            evaluation = record.evaluation
            if evaluation is None:
                continue
            key = (record.run_id, evaluation.partition or "")
            # A warning of a gate check says that others have decided already.
            holds = not evaluation.passed and evaluation.severity is AssetCheckSeverity.ERROR
            failed[key] = failed.get(key, ()) + ((name,) if holds else ())
    return failed


def _executions(instance: DagsterInstance, check: AssetCheckKey) -> Iterator[Any]:
    """All executions of a check; of several in one run and partition only the newest."""
    cursor, seen = None, set()
    while True:
        page = instance.event_log_storage.get_asset_check_execution_history(
            # A queued run has planned its checks.
            check,
            limit=_PAGE,
            cursor=cursor,
            status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        )
        for record in page:
            key = (record.run_id, record.evaluation.partition if record.evaluation else None)
            if key not in seen:
                seen.add(key)
                yield record
        if len(page) < _PAGE:
            return
        cursor = page[-1].id


def _without_promotion(instance: DagsterInstance, run_ids: list[str]) -> set[str]:
    """The runs that evaluated a candidate and did not go on to promote it."""
    found = set()
    for start in range(0, len(run_ids), _RUNS):
        for run in instance.get_runs(RunsFilter(run_ids=run_ids[start : start + _RUNS])):
            if run.asset_selection and PROMOTED_VERSION not in run.asset_selection:
                found.add(run.run_id)
    return found


def _metadata(event: "AssetMaterialization | AssetObservation | None", name: str) -> Any:
    value = event.metadata.get(name) if event else None
    return value.value if value is not None else None


def _time(record: "EventLogRecord") -> datetime:
    return datetime.fromtimestamp(record.timestamp, UTC)
