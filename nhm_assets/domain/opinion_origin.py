"""Who gave an opinion: a version of a model, or what answered instead."""

from collections.abc import Mapping
from typing import Any, Final

from nhm_assets.domain.text import is_string

_BY_MODEL: Final = "ml_model"

ORIGIN_FIELDS: Final = (
    "opinion.metadata.model_source",
    "opinion.metadata.model_version",
    "opinion.metadata.ab_test_model_version",
    "explainability.model_version",
)
"""Fields of an opinion document that say it."""


def origin_of(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The number of the version that gave the opinion, or what did so instead; neither if it does not say so."""
    metadata = metadata_of(document)
    source, version = metadata.get("model_source"), metadata.get("model_version")
    if is_string(source) and source and source != _BY_MODEL:
        return None, source
    if version is None:
        # Opinions of earlier releases say it only there.
        version = _map(document.get("explainability")).get("model_version")
    # In an A/B test, `model_version` is the number in Production, whichever of the two answered.
    return _number(metadata.get("ab_test_model_version")) or _number(version), None


def metadata_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an opinion document says of how the opinion was made; empty if it does not."""
    return _map(_map(document.get("opinion")).get("metadata"))


def _number(version: object) -> str | None:
    """The number of a registered version; None for anything else, such as the 0 of heuristics."""
    text = version.strip() if is_string(version) else str(version) if type(version) is int else ""
    return str(int(text)) if text.isascii() and text.isdecimal() and len(text) < 19 and int(text) > 0 else None


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
