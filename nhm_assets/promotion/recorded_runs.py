"""What Dagster's records say of the specialists: how their last runs ended, and how people agreed with what serves."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetRecordsFilter

from nhm_assets.domain.asset_keys import SERVED_QUALITY
from nhm_assets.domain.outcomes import REASON_TAG, Outcome
from nhm_assets.domain.partitions import Partition, running_week
from nhm_assets.domain.specialists import Specialist, all_specialists
from nhm_assets.promotion.production import LastOutcome, Recorded, ServedAgreement
from nhm_assets.runs.queries import end_of, last_ended_run, outcome_of
from nhm_assets.runs.tags import PARTITION_TAG

if TYPE_CHECKING:
    from dagster import DagsterInstance

_SERVED_WEEKS: Final = 4
_ONLY_IN_DAGSTER: Final = (Outcome.INSUFFICIENT_DATA, Outcome.BROKEN)
"""Outcomes that the audit log may not have: of a run without a candidate, and of one that no daemon has reported."""


def recorded_runs(instance: "DagsterInstance", *, now: datetime) -> dict[str, Recorded]:
    """What is recorded of each specialist.

    Args:
        instance: with the records.
        now: what was served is looked for in the weeks before.
    """
    return {str(who): Recorded(_last_run(instance, who), _served(instance, who, now)) for who in all_specialists()}


def _last_run(instance: "DagsterInstance", who: Specialist) -> LastOutcome | None:
    record = last_ended_run(instance, who)
    outcome = outcome_of(record.dagster_run) if record else None
    if record is None or outcome not in _ONLY_IN_DAGSTER:
        return None
    run = record.dagster_run
    week = run.tags[PARTITION_TAG].partition("|")[2]
    return LastOutcome(str(outcome), end_of(record), run.tags.get(REASON_TAG, ""), week, run.run_id)


def _served(instance: "DagsterInstance", who: Specialist, now: datetime) -> dict[str, ServedAgreement]:
    """What `served_quality` measured of each version, in the newest of the last weeks that it was measured in."""
    weeks = [running_week(now - timedelta(weeks=ago)) for ago in range(_SERVED_WEEKS)]
    keys = [Partition(week, who).key for week in weeks]
    records = instance.fetch_materializations(
        AssetRecordsFilter(SERVED_QUALITY, asset_partitions=keys), limit=4 * _SERVED_WEEKS
    ).records
    found: dict[str, ServedAgreement] = {}
    for key, week in zip(keys, weeks, strict=True):
        # The newest materialization of a partition comes first.
        made = next((one.asset_materialization for one in records if one.partition_key == key), None)
        shown: dict[str, Any] = {name: value.value for name, value in made.metadata.items()} if made else {}
        if {"version", "f1", "reviewed"} <= shown.keys():
            found.setdefault(shown["version"], ServedAgreement(week, float(shown["f1"]), int(shown["reviewed"])))
    return found
