"""What Dagster's records say of the specialists: how their last runs ended, and how people agreed with what serves."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetRecordsFilter, DagsterEventType

from nhm_assets.domain.asset_keys import SERVED_QUALITY
from nhm_assets.domain.outcomes import Outcome
from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.promotion.production import LastOutcome, Recorded, ServedAgreement
from nhm_assets.runs.failure_cause import reason_of
from nhm_assets.runs.queries import end_of, last_ended_runs, outcome_of
from nhm_assets.runs.tags import PARTITION_TAG

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

_SERVED_WEEKS: Final = 4
_ONLY_IN_DAGSTER: Final = (Outcome.INSUFFICIENT_DATA, Outcome.BROKEN)
"""Outcomes that the audit log may not have: of a run without a candidate, and of one that no daemon has reported."""


def recorded_runs(instance: "DagsterInstance", *, now: datetime) -> dict[str, Recorded]:
    """What is recorded of each specialist.

    Args:
        instance: with the records.
        now: what was served is looked for in the weeks before.
    """
    last, served = last_ended_runs(instance, all_specialists()), _served(instance, now)
    return {str(who): Recorded(_outcome(instance, last.get(str(who))), served[who]) for who in all_specialists()}


def _outcome(instance: "DagsterInstance", record: "RunRecord | None") -> LastOutcome | None:
    outcome = outcome_of(record.dagster_run) if record else None
    if record is None or outcome not in _ONLY_IN_DAGSTER:
        return None
    run = record.dagster_run
    week, reason = run.tags[PARTITION_TAG].partition("|")[2], reason_of(instance, run)
    return LastOutcome(str(outcome), end_of(record), reason, week, run.run_id)


def _served(instance: "DagsterInstance", now: datetime) -> "dict[Specialist, dict[str, ServedAgreement]]":
    """What `served_quality` measured of each version, in the newest of the last weeks that it was measured in."""
    weeks = [running_week(now - timedelta(weeks=ago)) for ago in range(_SERVED_WEEKS)]
    keys = {(who, week): str(Partition(week, who).key) for who in all_specialists() for week in weeks}
    measured = _newest(instance, keys.values())
    found: dict[Specialist, dict[str, ServedAgreement]] = {who: {} for who in all_specialists()}
    for (who, week), key in keys.items():
        shown = measured.get(key, {})
        if {"version", "f1", "reviewed"} <= shown.keys():
            found[who].setdefault(shown["version"], ServedAgreement(week, float(shown["f1"]), int(shown["reviewed"])))
    return found


def _newest(instance: "DagsterInstance", keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Partition -> the metadata of its newest materialization of `served_quality`."""
    made = DagsterEventType.ASSET_MATERIALIZATION
    latest = instance.get_latest_storage_id_by_partition(SERVED_QUALITY, made, set(keys))
    if not latest:
        return {}
    where = AssetRecordsFilter(SERVED_QUALITY, storage_ids=[*latest.values()])
    records = instance.fetch_materializations(where, limit=len(latest)).records
    return {
        record.partition_key: {name: value.value for name, value in record.asset_materialization.metadata.items()}
        for record in records
        if record.partition_key and record.asset_materialization
    }
