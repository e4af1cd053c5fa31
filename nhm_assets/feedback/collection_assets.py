"""The collections in MongoDB as assets: four that are read, and the quarantine that is written.

They are external: no run materializes them. `feedback_dataset` says what it saw of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from dagster import (
    AssetMaterialization,
    AssetObservation,
    AssetSpec,
    MetadataValue,
    MultiPartitionKey,
)

from nhm_assets.domain.asset_keys import (
    COGNITIVE_PLANS,
    FEEDBACK_QUARANTINE,
    PLAN_FEATURES,
    SPECIALIST_FEEDBACK,
    SPECIALIST_OPINIONS,
)
from nhm_assets.domain.dagster_names import GROUP
from nhm_assets.domain.dataset_schema import QUARANTINE
from nhm_assets.feedback.column_metadata import collection_metadata
from nhm_assets.feedback.seen import Seen
from nhm_assets.steps.partitions import specialist_weeks
from nhm_assets.steps.tables import pairs

_DESCRIPTIONS: Final = {
    SPECIALIST_FEEDBACK: "Reviewers' verdicts on the specialists' opinions, in MongoDB (FEEDBACK_COLLECTION). Other"
    " systems write them, the platform only reads them.",
    SPECIALIST_OPINIONS: "The specialists' opinions on cognitive plans, mostly with the plan itself, in MongoDB"
    " (OPINIONS_COLLECTION). Other systems write them, the platform only reads them.",
    COGNITIVE_PLANS: "The ledger of cognitive plans in MongoDB (PLANS_COLLECTION), read for opinions that do not carry"
    " their plan. Other systems write them, the platform only reads them.",
    PLAN_FEATURES: "Features of plans in MongoDB (FEATURES_COLLECTION). The specialists store theirs when they answer,"
    " and those are used as they are; the platform adds the features of plans that have none.",
}

read_collections: Final = [
    AssetSpec(
        key,
        partitions_def=specialist_weeks,
        group_name=GROUP,
        kinds={"mongodb"},
        description=description,
        metadata=collection_metadata(key.to_user_string()),
    )
    for key, description in _DESCRIPTIONS.items()
]

feedback_quarantine: Final = AssetSpec(
    FEEDBACK_QUARANTINE,
    partitions_def=specialist_weeks,
    group_name=GROUP,
    deps=read_collections,
    kinds={"mongodb"},
    description="Feedback that could not become a row of the dataset, with the reason, in the collection"
    " `feedback_quarantine`. Every run of `feedback_dataset` replaces the partition's entries.",
)


def observations(seen: Iterable[Seen], partition_key: MultiPartitionKey) -> Iterator[AssetObservation]:
    """What a run saw of the collections, for their pages in the UI."""
    for one in seen:
        metadata: dict[str, Any] = {"collection": one.collection}
        if one.documents is not None:
            metadata["documents"] = one.documents
        if one.newest:
            metadata["newest_feedback"] = pairs("specialist", "newest feedback (UTC)", _minutes(one.newest))
        metadata["indexes"] = (
            MetadataValue.md("Missing. In mongosh: " + ", ".join(f"`{command}`" for command in one.missing_indexes))
            if one.missing_indexes
            else "complete"
        )
        yield AssetObservation(one.asset, partition=partition_key, metadata=metadata)


def quarantine_event(counts: Mapping[str, int], partition_key: MultiPartitionKey) -> AssetMaterialization:
    """How much feedback of the partition is in quarantine, by reason."""
    return AssetMaterialization(
        FEEDBACK_QUARANTINE,
        partition=partition_key,
        description=f"{sum(counts.values())} documents are in quarantine.",
        metadata={
            "documents": sum(counts.values()),
            "reasons": pairs("reason", "documents", counts),
            "look_at_them": f"db.{QUARANTINE}.find({{partition: {str(partition_key)!r}}})",
        },
    )


def _minutes(times: Mapping[str, datetime]) -> dict[str, str]:
    return {name: f"{moment:%Y-%m-%d %H:%M}" for name, moment in times.items()}
