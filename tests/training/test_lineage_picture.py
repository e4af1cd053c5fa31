"""The picture of the lineage: complete, readable on any page, and nothing cut or covered."""

from itertools import combinations
from xml.etree import ElementTree

import pytest
from PIL import ImageFont

from nhm_assets.domain.dataset_schema import FEATURE_NAMES
from nhm_assets.training.lineage_picture import draw_lineage, lineage_markdown

SVG = "{http://www.w3.org/2000/svg}"
IMPORTANCES = {name: (number - 3) / 100 for number, name in enumerate(FEATURE_NAMES)}


def picture(importances: dict[str, float], version: str | None = "12") -> ElementTree.Element:
    # It is ours.
    return ElementTree.fromstring(draw_lineage(importances, "technical-evaluator", version))  # noqa: S314


def boxes(root: ElementTree.Element) -> dict[str, tuple[float, float, float, float]]:
    """Text and place -> left, top, right and bottom, in a font that is wider than a browser's."""
    found = {}
    for text in root.iter(f"{SVG}text"):
        size = float(text.get("font-size", "12"))
        width = ImageFont.load_default(size).getlength(text.text or "")
        x, y = float(text.get("x", "0")), float(text.get("y", "0"))
        left = x - width if text.get("text-anchor") == "end" else x
        found[f"{text.text} at {x} {y}"] = (left, y - size * 0.8, left + width, y + size * 0.2)
    return found


@pytest.mark.parametrize("importances", [IMPORTANCES, {}], ids=["with importances", "before the first promotion"])
def test_no_text_is_cut_or_covers_another(importances: dict[str, float]):
    root = picture(importances)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    shown = boxes(root)
    assert [text for text, box in shown.items() if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height] == []
    covered = [
        (one, other)
        for (one, a), (other, b) in combinations(shown.items(), 2)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert covered == []


def test_every_feature_has_its_value_and_a_line_from_each_of_its_fields():
    root = picture(IMPORTANCES)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert set(FEATURE_NAMES) <= set(texts)
    assert {f"{value:.3f}" for value in IMPORTANCES.values()} <= set(texts)
    assert {"tasks.dependencies", "risk_score", "original_priority", "plan_features.features"} <= set(texts)
    # Each feature may be stored; 11 of the graph's come from two fields of the plan, 12 others from one.
    assert len(list(root.iter(f"{SVG}path"))) == 26 + 11 * 2 + 12
    assert "Importances of version 12" in " ".join(map(str, texts))


def test_the_picture_brings_its_own_surface_and_fits_into_an_event():
    assert picture({}).find(f"{SVG}rect").get("fill") == "#ffffff"
    shown = lineage_markdown(IMPORTANCES, "technical-evaluator", "12")
    assert shown.startswith("![Fields, features and importances](data:image/svg+xml;base64,")
    assert len(shown) < 40_000


def test_before_the_first_promotion_there_are_no_bars():
    root = picture({}, None)
    assert "No version is in Production yet." in " ".join(str(text.text) for text in root.iter(f"{SVG}text"))
    assert len(list(root.iter(f"{SVG}rect"))) == 1
