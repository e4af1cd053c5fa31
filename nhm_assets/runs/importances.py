"""How important each feature is to a version, as its recorded evaluation report says."""

from collections.abc import Mapping
from typing import Any, Final

from dagster import AssetRecordsFilter, DagsterInstance

from nhm_assets.domain.asset_keys import EVALUATION_REPORT
from nhm_assets.domain.dagster_names import REPORT_METADATA

_MOST: Final = 10
"""The newest reports of the partition that are searched for one on this version."""


def recorded_importances(instance: DagsterInstance, partition_key: str, version: str) -> dict[str, float]:
    """Feature -> F1 that is lost when its values are shuffled; empty if no report on this version is recorded.

    Args:
        instance: that recorded the reports.
        partition_key: of the version.
        version: its number.
    """
    where = AssetRecordsFilter(asset_key=EVALUATION_REPORT, asset_partitions=[partition_key])
    for record in instance.fetch_materializations(where, limit=_MOST).records:
        made = record.asset_materialization
        entry = made.metadata.get(REPORT_METADATA) if made else None
        report: Any = entry.value if entry else None
        if isinstance(report, Mapping) and str(report.get("version")) == version:
            return {str(name): float(loss) for name, loss in dict(report.get("importances") or {}).items()}
    return {}
