"""The picture of the lineage: fields of documents, the features made of them, and what these are worth to a model.

It is written as SVG by hand: a picture of lines and words needs no library, and training waits for none.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from nhm_assets.domain.dataset_columns import COLUMN
from nhm_assets.domain.feature_names import FEATURE_NAMES
from nhm_assets.domain.source_fields import FEATURES, PLANS
from nhm_assets.steps.pictures import CANDIDATE, INK, MUTED, SURFACE, markdown

_LINE: Final = "#b9b9b9"
"""Darker than a rule: dozens of lines lie between fields and features."""
_STORED: Final = f"{FEATURES}.features"
_WIDTH, _TOP, _ROW = 980, 92, 19
_FIELDS_X, _FEATURES_X, _BARS_X = 290, 470, 690
_WIDEST_BAR: Final = 210


def draw_lineage(importances: Mapping[str, float], model: str, version: str | None) -> str:
    """The picture as SVG.

    Args:
        importances: feature -> F1 that is lost when its values are shuffled; empty if that is unknown.
        model: name of the registered model.
        version: that the importances are of; None if none is in Production.
    """
    features = sorted(FEATURE_NAMES, key=lambda name: -importances.get(name, 0.0))
    fields = _fields(features)
    height = _TOP + _ROW * len(features) + 14
    spread = (height - _TOP - _ROW) / max(1, len(fields) - 1)
    size = f'width="{_WIDTH}" height="{height}"'
    places = {field: _TOP + spread * number for number, field in enumerate(fields)}
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
            f'<rect {size} fill="{SURFACE}"/>',
            _text(16, 26, f"{model}: from fields to features to the model", size=15),
            _text(16, 46, _explained(importances, version), color=MUTED),
            _text(_FIELDS_X, 72, "field", anchor="end", color=MUTED),
            _text(_FEATURES_X, 72, "feature", color=MUTED),
            *([_text(_BARS_X, 72, "F1 lost without it", color=MUTED)] if importances else []),
            *_lines(features, places),
            *(_text(_FIELDS_X, y + 4, field, anchor="end") for field, y in places.items()),
            *_features(features, importances),
            "</svg>",
        ]
    )


def lineage_markdown(importances: Mapping[str, float], model: str, version: str | None) -> str:
    """Markdown that shows the picture."""
    return markdown("Fields, features and importances", draw_lineage(importances, model, version).encode())


def _explained(importances: Mapping[str, float], version: str | None) -> str:
    where = "Fields of the plan: in specialist_opinions.cognitive_plan, else in cognitive_plans.plan_data."
    if version is None:
        return f"{where} No version is in Production yet."
    if not importances:
        return f"{where} No report on version {version}, in Production, is recorded."
    return f"{where} Importances of version {version}, in Production."


def _fields(features: Sequence[str]) -> list[str]:
    """The fields, those of the most important features first; what the specialists store comes last."""
    ordered = dict.fromkeys(field for feature in features for field in _fields_of(feature))
    return [*(field for field in ordered if field != _STORED), _STORED]


def _fields_of(feature: str) -> list[str]:
    """Opinion and ledger hold the same plan, so its fields are shown once."""
    named = []
    for asset, field in COLUMN[feature].sources:
        if asset == FEATURES:
            named.append(_STORED)
        elif asset == PLANS:
            named.append(field.removeprefix("plan_data."))
    return named


def _lines(features: Sequence[str], places: Mapping[str, float]) -> list[str]:
    start, end = _FIELDS_X + 8, _FEATURES_X - 8
    middle = (start + end) / 2
    lines = []
    for number, feature in enumerate(features):
        y = _TOP + _ROW * number
        for field in _fields_of(feature):
            dashes = ' stroke-dasharray="2 3"' if field == _STORED else ""
            lines.append(
                f'<path d="M{start} {places[field]:.1f}C{middle} {places[field]:.1f} {middle} {y} {end} {y}"'
                f' fill="none" stroke="{_LINE}"{dashes}/>'
            )
    return lines


def _features(features: Sequence[str], importances: Mapping[str, float]) -> list[str]:
    greatest = max(importances.values(), default=0.0)
    parts = []
    for number, feature in enumerate(features):
        y = _TOP + _ROW * number
        parts.append(_text(_FEATURES_X, y + 4, feature))
        if feature in importances:
            width = _WIDEST_BAR * max(0.0, importances[feature]) / greatest if greatest > 0 else 0.0
            parts.append(f'<rect x="{_BARS_X}" y="{y - 6}" width="{width:.1f}" height="12" fill="{CANDIDATE}"/>')
            parts.append(_text(_BARS_X + width + 6, y + 4, f"{importances[feature]:.3f}", color=MUTED))
    return parts


def _text(x: float, y: float, words: str, *, anchor: str = "start", color: str = INK, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
    )
