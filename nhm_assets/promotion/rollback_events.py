"""A rollback as an event on `promoted_version`: Dagster shows it, and the check on the registry is asked again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetCheckEvaluation, AssetObservation, DagsterInstance

from nhm_assets.domain.asset_keys import PROMOTED_VERSION
from nhm_assets.domain.check_result import Verdict
from nhm_assets.domain.dagster_internals import AssetCheckExecutionsTable, SqlEventLogStorage
from nhm_assets.domain.outcomes import OUTCOME_TAG, ROLLED_BACK, SPECIALIST_TAG
from nhm_assets.domain.specialists import specialist_of
from nhm_assets.promotion.checks import REGISTRY_CONSISTENT, registry_verdict
from nhm_assets.registry.versions import version_if_any
from nhm_assets.registry.vocabulary import PARTITION_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from pymongo.collection import Collection

Document = dict[str, Any]

_SHOWN: Final = "shown_in_dagster"
_METADATA: Final = ("specialist", "model", "version", "from_version", "reason", "actor", "dagster_run_id")


def unshown_rollbacks(log: "Collection[Document]", models: Sequence[str]) -> list[Document]:
    """The finished rollbacks of these models that Dagster does not show yet, whoever made them; oldest first."""
    query = {"model": {"$in": list(models)}, "kind": ROLLED_BACK, "state": "done", _SHOWN: {"$exists": False}}
    return list(log.find(query).sort([("released_at", 1), ("at", 1)]))


def show_rollback(
    instance: DagsterInstance, client: "MlflowClient", log: "Collection[Document]", entry: Document
) -> None:
    """Record a rollback on the partitions of the version that is back and of the version that left.

    Both get the event with the outcome, and the current verdict of `registry_consistent`.

    Args:
        instance: records the events.
        client: of the registry.
        log: the audit log.
        entry: the finished rollback. If Dagster shows it already, nothing is recorded.
    """
    if _SHOWN in entry:
        return
    # A rollback by another program may carry fewer fields.
    specialist = str(entry.get("specialist") or specialist_of(entry["model"]))
    metadata = {name: str(entry[name]) for name in _METADATA if entry.get(name)} | {"outcome": ROLLED_BACK}
    verdict = registry_verdict(client, log, specialist, entry["model"])
    for partition in _partitions(client, entry):
        instance.report_runless_asset_event(
            AssetObservation(
                PROMOTED_VERSION,
                description=f"Rolled back to version {entry.get('version')}: {entry.get('reason', '')}",
                partition=partition,
                metadata=metadata,
                tags={OUTCOME_TAG: ROLLED_BACK, SPECIALIST_TAG: specialist},
            )
        )
        if partition is not None:
            record_verdict(instance, partition, verdict)
    log.update_one({"_id": entry["_id"]}, {"$set": {_SHOWN: True}})


def record_verdict(instance: DagsterInstance, partition: str, verdict: Verdict) -> None:
    """Record a verdict of `registry_consistent` on this partition, outside of a run.

    It takes the place of the one that an earlier rollback recorded, whose event stays in the log: Dagster's table of
    check executions has one row per check, partition and run, and a second one without a run would be an IntegrityError
    (Dagster 1.13).
    """
    _forget_evaluation(instance, partition)
    instance.report_runless_asset_event(
        AssetCheckEvaluation(
            PROMOTED_VERSION,
            REGISTRY_CONSISTENT,
            passed=verdict.passed,
            description=verdict.reason,
            metadata=dict(verdict.figures),
            partition=partition,
        )
    )


def _forget_evaluation(instance: DagsterInstance, partition: str) -> None:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise TypeError(f"unsupported event log storage {type(storage).__name__}: use SQLite or PostgreSQL")
    column = AssetCheckExecutionsTable.c
    with storage.index_connection() as connection:
        connection.execute(
            AssetCheckExecutionsTable.delete().where(
                column.asset_key == PROMOTED_VERSION.to_string(),
                column.check_name == REGISTRY_CONSISTENT,
                column.run_id == "",
                column.partition == partition,
            )
        )


def _partitions(client: "MlflowClient", entry: Document) -> list[str | None]:
    """The partitions of both versions; None if neither was made by the platform."""
    numbers = filter(None, map(entry.get, ("version", "from_version")))
    versions = [version_if_any(client, entry["model"], number) for number in numbers]
    known = {version.tags[PARTITION_TAG]: None for version in versions if version and PARTITION_TAG in version.tags}
    return list(known) or [None]
