"""Datasets that runs of the job make, and what they show."""

from typing import Any

from dagster import AssetKey, AssetMaterialization, ExecuteInProcessResult, MetadataValue, TableMetadataValue

from nhm_assets.steps.tables import as_counts
from tests.support.documents import feedback, put, reviewed_opinions
from tests.support.platform import Platform

DATASET = ["feedback_dataset"]


def fill(platform: Platform, count: int = 300, **fields: Any) -> None:
    """Reviewed opinions, and two documents for the quarantine."""
    opinions, reviews = reviewed_opinions(count, **fields)
    put(platform.database, opinions=opinions, feedback=[*reviews, feedback("lost"), feedback("odd", human_rating="1")])


def made(result: ExecuteInProcessResult, asset: str = "feedback_dataset") -> AssetMaterialization:
    """The one materialization of an asset by the run."""
    events = result.asset_materializations_for_node("feedback_dataset")
    (event,) = [one for one in events if one.asset_key == AssetKey(asset)]
    return event


def metadata(result: ExecuteInProcessResult) -> dict[str, Any]:
    """What it shows; tables as dictionaries."""
    shown = made(result).metadata
    return {name: _plain(entry) for name, entry in shown.items()}


def _plain(entry: MetadataValue) -> Any:
    return as_counts(entry) if isinstance(entry, TableMetadataValue) else entry.value
