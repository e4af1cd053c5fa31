"""What the newest datasets and reports say, kept up to date at a cost that does not depend on how many there are."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import AssetKey, AssetRecordsFilter, DagsterInstance

from nhm_assets.domain.asset_keys import EVALUATION_REPORT, FEEDBACK_DATASET, SERVED_QUALITY
from nhm_assets.domain.dagster_names import REPORT_METADATA
from nhm_assets.domain.dataset_words import APPROVAL, REVIEWER, SOURCES, SPLITS
from nhm_assets.domain.links import report_link
from nhm_assets.domain.partitions import Partition
from nhm_assets.domain.specialists import all_specialists
from nhm_assets.monitoring import field_metrics, own_metrics
from nhm_assets.monitoring.metric import Readings
from nhm_assets.monitoring.read_report import ReadReport, read_again
from nhm_assets.steps.tables import as_counts

if TYPE_CHECKING:
    from dagster import EventLogRecord

_AT_START: Final = 40
"""Newest materializations per specialist that the first refresh reads. Backfills of old weeks may come last."""
_CHANGES: Final = 500
QUALITIES: Final = ("precision", "recall", "f1", "accuracy")
_SERVED: Final = ("f1", "auc", "unattended", "unattended_precision", "estimated_f1")
"""Figures in the metadata of served_quality."""
_LABELS: Final = {"0": "reject", "1": "approve", "2": "review_required"}


@dataclass
class Newest:
    """The materialization of the newest week of every specialist, of one asset."""

    asset: AssetKey
    _seen: int | None = None
    _records: "dict[str, EventLogRecord]" = field(default_factory=dict)

    def update(self, instance: DagsterInstance) -> None:
        """Read what was materialized since the last time."""
        if self._seen is None:
            limit, where = _AT_START * len(all_specialists()), AssetRecordsFilter(self.asset)
            records = instance.fetch_materializations(where, limit=limit).records[::-1]
        else:
            where = AssetRecordsFilter(self.asset, after_storage_id=self._seen)
            records = list(instance.fetch_materializations(where, limit=_CHANGES, ascending=True).records)
        self._seen = max((record.storage_id for record in records), default=self._seen or 0)
        for record in records:
            self._take(record)

    def _take(self, record: "EventLogRecord") -> None:
        # One that was taken out of the settings keeps its history.
        partition = Partition.named(record.partition_key or "")
        if partition is None:
            return
        known = self._records.get(partition.specialist)
        if known is None or Partition.from_key(str(known.partition_key)).week <= partition.week:
            self._records[str(partition.specialist)] = record

    def record(self, specialist: str) -> "EventLogRecord | None":
        """The newest one of a specialist; None if there is none."""
        return self._records.get(specialist)

    def metadata(self, specialist: str) -> dict[str, Any]:
        """Its metadata as plain values; empty if there is none."""
        record = self.record(specialist)
        made = record.asset_materialization if record else None
        return {name: value.value for name, value in made.metadata.items()} if made else {}


@dataclass
class Materializations:
    """The newest datasets, reports and weeks of what served."""

    datasets: Newest = field(default_factory=lambda: Newest(FEEDBACK_DATASET))
    reports: Newest = field(default_factory=lambda: Newest(EVALUATION_REPORT))
    served: Newest = field(default_factory=lambda: Newest(SERVED_QUALITY))
    _read: dict[str, ReadReport] = field(default_factory=dict)

    def update(self, instance: DagsterInstance) -> None:
        """Read what was materialized since the last time."""
        self.datasets.update(instance)
        self.reports.update(instance)
        self.served.update(instance)
        for specialist in all_specialists():
            if record := self.reports.record(specialist):
                self._read[specialist] = read_again(instance, record, self._read.get(specialist))

    def put(self, readings: Readings, dagster_url: str) -> None:
        """Add the series of every specialist. `dagster_url` is the address of Dagster's UI."""
        for specialist in all_specialists():
            if dataset := self.datasets.metadata(specialist):
                _put_dataset(readings, specialist, dataset)
            if served := self.served.metadata(specialist):
                _put_served(readings, specialist, served)
            if report := self.reports.record(specialist):
                readings.put(own_metrics.REPORT_TIME, report.timestamp, specialist)
                recorded = self.reports.metadata(specialist).get(REPORT_METADATA)
                _put_report(readings, specialist, recorded)
                url = report_link(dagster_url, str(report.partition_key))
                version = recorded.get("version") if isinstance(recorded, dict) else None
                week = Partition.from_key(str(report.partition_key)).week
                readings.put(own_metrics.NEWEST_REPORT, 1.0, specialist, week, version, url)
                _put_certainty(readings, specialist, self._read.get(specialist))


def _put_dataset(readings: Readings, specialist: str, dataset: dict[str, Any]) -> None:
    """What is missing in the metadata, because another release recorded it, has no series."""
    by_source = {kind: dataset[f"{kind}_rows"] for kind in SOURCES if f"{kind}_rows" in dataset}
    readings.put_counts(own_metrics.DATASET_ROWS, by_source, specialist)
    provenance, splits, labels = (as_counts(dataset.get(name)) for name in ("provenance", "splits", "labels"))
    readings.put_counts(own_metrics.PROVENANCE_ROWS, provenance, specialist)
    # Earlier releases recorded the codes of the classes.
    named = {name: labels.get(name, labels.get(code, 0)) for code, name in _LABELS.items()}
    readings.put_counts(own_metrics.LABEL_ROWS, named if labels else {}, specialist)
    sizes = {split: splits.get(split, 0) for split in SPLITS} | {"total": sum(splits.values())}
    readings.put_counts(field_metrics.DATASET_SIZE, sizes if splits else {}, specialist)
    if "scripted" in dataset:
        people = provenance.get(REVIEWER, 0) + provenance.get(APPROVAL, 0)
        readings.put(own_metrics.SCRIPTED, dataset["scripted"] / max(1, dataset["scripted"] + people), specialist)
    if "quarantined" in dataset and "real_rows" in dataset:
        quarantined = as_counts(dataset["quarantined"])
        readings.put_counts(own_metrics.QUARANTINED, quarantined, specialist)
        rejected = sum(quarantined.values())
        readings.put(own_metrics.REJECTED, rejected / max(1, rejected + dataset["real_rows"]), specialist)


def _put_report(readings: Readings, specialist: str, recorded: Any) -> None:
    if not isinstance(recorded, dict):
        return
    champion = (recorded.get("champion") or {}).get("metrics")
    for role, metrics in (("candidate", recorded.get("candidate")), ("champion", champion)):
        known = {name: metrics[name] for name in QUALITIES if name in metrics} if metrics else {}
        readings.put_counts(own_metrics.QUALITY, known, specialist, role)
        if role == "candidate":
            readings.put_counts(field_metrics.PERFORMANCE, known, specialist)
    readings.put(own_metrics.TEST_ROWS, recorded.get("test_rows"), specialist)


def _put_served(readings: Readings, specialist: str, served: dict[str, Any]) -> None:
    for name in _SERVED:
        readings.put(own_metrics.SERVED_QUALITY, served.get(name), specialist, name)
    readings.put_counts(own_metrics.SERVED_OPINIONS, as_counts(served.get("answered_by")), specialist)
    readings.put(own_metrics.SERVED_PSI, served.get("largest_psi"), specialist)
    readings.put_counts(own_metrics.SERVED_WARNS, as_counts(served.get("warns")), specialist)
    if until := served.get("measured_until"):
        readings.put(own_metrics.SERVED_UNTIL, datetime.fromisoformat(until).timestamp(), specialist)
    for name in ("low", "difference", "high"):
        readings.put(own_metrics.AB_DIFFERENCE, served.get(f"ab_auc_{name}"), specialist, name)


def _put_certainty(readings: Readings, specialist: str, read: ReadReport | None) -> None:
    if read is None or read.report is None:
        return
    report, champion = read.report, read.report.champion
    readings.put(own_metrics.BRIER, report.candidate.brier, specialist, "candidate")
    readings.put(own_metrics.BRIER, champion.metrics.brier if champion else None, specialist, "champion")
    readings.put(own_metrics.BRIER, report.prior_brier, specialist, "prior")
    readings.put(own_metrics.SHADOW_AGREEMENT, report.shadow.agreement if report.shadow else None, specialist)
    readings.put(own_metrics.FLIP_RATE, report.flip_rate, specialist)
    readings.put(own_metrics.SERVING_ON_LINE, read.champion_on_line, specialist)
    if missing := report.settling:
        readings.put(own_metrics.MISSING_PLANS, missing.plans, specialist)
        readings.put(own_metrics.MISSING_OPINIONS, missing.approve, specialist, "approve")
        readings.put(own_metrics.MISSING_OPINIONS, missing.not_approve, specialist, "not_approve")
