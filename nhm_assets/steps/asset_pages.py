"""What the page of every asset says besides: who owns it, where its code is, and the version of that code."""

import warnings
from collections.abc import Mapping
from typing import Any, Final

from dagster import AssetKey, AssetSpec, BetaWarning, CodeReferencesMetadataValue, UrlCodeReference

from nhm_assets.domain import asset_keys as keys
from nhm_assets.settings import Settings
from nhm_assets.steps.links import Links

_FILES: Final = {
    keys.FEEDBACK_DATASET: "nhm_assets/feedback/assets.py",
    keys.TRAINED_MODEL: "nhm_assets/training/assets.py",
    keys.EVALUATION_REPORT: "nhm_assets/evaluation/assets.py",
    keys.PROMOTED_VERSION: "nhm_assets/promotion/assets.py",
    keys.PRODUCTION_MODELS: "nhm_assets/promotion/production_models.py",
    keys.SPECIALIST_ROLLOUT: "nhm_assets/rollout/assets.py",
    keys.SERVED_QUALITY: "nhm_assets/served/assets.py",
    **dict.fromkeys(
        (
            keys.SPECIALIST_FEEDBACK,
            keys.SPECIALIST_OPINIONS,
            keys.COGNITIVE_PLANS,
            keys.PLAN_FEATURES,
            keys.FEEDBACK_QUARANTINE,
        ),
        "nhm_assets/feedback/collection_assets.py",
    ),
}
"""Asset -> the file that defines it."""


def with_page(spec: AssetSpec, settings: Settings, code_versions: Mapping[AssetKey, str]) -> AssetSpec:
    """The spec with owners (ASSET_OWNERS), a link to its code (CODE_URL), and the version of its code."""
    changes: dict[str, Any] = {"owners": list(settings.owners), "code_version": code_versions.get(spec.key)}
    address = Links.of(settings).file(_FILES[spec.key]) if spec.key in _FILES else None
    if address:
        changes["metadata"] = {**spec.metadata, "dagster/code_references": _reference(address, _FILES[spec.key])}
    return spec.replace_attributes(**changes)


def _reference(address: str, label: str) -> CodeReferencesMetadataValue:
    with warnings.catch_warnings():
        # Beta in Dagster 1.13. All it does is show a link.
        warnings.simplefilter("ignore", BetaWarning)
        return CodeReferencesMetadataValue(code_references=[UrlCodeReference(url=address, label=label)])
