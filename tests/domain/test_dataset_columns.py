"""The table of columns says which field each feature comes from: changing a field changes exactly those features."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from nhm_assets.domain.dataset_columns import COLUMN, DATASET_COLUMNS
from nhm_assets.domain.dataset_schema import COLUMNS, LABELS, PROVENANCES, SPLITS, conform
from nhm_assets.domain.feature_names import COMPUTED_FEATURES, EMBEDDING_FEATURES
from nhm_assets.domain.provenance import PROVENANCE_FIELDS
from nhm_assets.domain.source_fields import OPINIONS, PLANS, SOURCE_FIELDS, in_plan
from nhm_assets.feedback.document import document
from nhm_assets.feedback.features import compute_features
from tests.support.documents import plan, task
from tests.support.frames import dataset
from tests.support.processes import ROOT

Plan = dict[str, Any]

PLAN_FIELDS = [field.name.removeprefix("plan_data.") for field in SOURCE_FIELDS[PLANS] if field.name != "plan_id"][1:]
CHANGES: dict[str, list[Any]] = {
    "tasks.task_id": ["b", "z"],
    "tasks.task_type": ["integration", "validation"],
    "tasks.description": ["the event service reads a model", "a deep util"],
    "tasks.dependencies": [["b"], ["a", "b"], ["a", "b", "c", "ghost"], []],
    "tasks.estimated_duration_ms": [5, None],
    "risk_score": [0.9, None],
    "complexity_score": [0.9],
    "original_domain": ["code-quality"],
    "original_priority": ["low"],
}
"""Field of a plan -> other values of it."""


def plans() -> list[Plan]:
    chain = [task(name, dependencies=[before] if before else []) for name, before in zip("abcde", " abcd", strict=True)]
    chain[0]["dependencies"] = []
    ring = [task(name, dependencies=[before]) for name, before in zip("abcde", "eabcd", strict=True)]
    star = [task("a", dependencies=list("bcde")), *(task(leaf, dependencies=["a"]) for leaf in "bcde")]
    return [plan(tasks=[task("a")]), plan(), plan(tasks=chain), plan(tasks=ring), plan(tasks=star)]


def changed(original: Plan, field: str) -> Iterator[Plan]:
    """The plan with other values in one field, in one task at a time."""
    if field == "tasks":
        yield {**original, "tasks": [*original["tasks"], task("more")]}
        return
    outer, _, inner = field.rpartition(".")
    for value in CHANGES[field]:
        if not outer:
            yield {**original, field: value}
            continue
        for number in range(len(original["tasks"])):
            other = deepcopy(original)
            other["tasks"][number][inner] = value
            yield other


def moved_by(field: str) -> set[str]:
    """The features that change with a field of the plan."""
    found = set()
    for original in plans():
        before = compute_features(original)
        for other in changed(original, field):
            after = compute_features(other)
            found |= {name for name in COMPUTED_FEATURES if before[name] != after[name]}
    return found


@pytest.mark.parametrize("field", [field for field in PLAN_FIELDS if field != "tasks"])
def test_a_field_of_the_plan_changes_the_features_that_name_it_and_no_others(field: str):
    assert moved_by(field) == {
        name for name in COMPUTED_FEATURES if (PLANS, f"plan_data.{field}") in COLUMN[name].sources
    }


def test_the_number_of_tasks_is_that_of_the_list():
    assert "num_tasks" in moved_by("tasks")
    assert in_plan("tasks")[0] in COLUMN["num_tasks"].sources


def test_every_column_of_the_dataset_is_described_in_order_with_its_type():
    assert tuple(column.name for column in DATASET_COLUMNS) == COLUMNS
    kinds = {"string": "object", "timestamp": "datetime64[us, UTC]", "float64": "float64", "int64": "int64"}
    frame = conform(dataset(5))
    assert {column.name: kinds[column.kind] for column in DATASET_COLUMNS} == dict(frame.dtypes.astype(str))
    assert {column.name for column in DATASET_COLUMNS if column.nullable} == set(EMBEDDING_FEATURES)


def test_the_document_is_made_from_the_tables():
    assert (ROOT / "docs/dataset.md").read_text() == document(), "run `make dataset-document`"


def test_every_source_is_a_field_of_a_collection():
    known = {(asset, field.name) for asset, fields in SOURCE_FIELDS.items() for field in fields}
    assert {source for column in DATASET_COLUMNS for source in column.sources} <= known


def test_the_provenance_names_the_fields_that_decide_it():
    read = {name.partition(".")[0] for name in PROVENANCE_FIELDS} - {"auto_generated", "balanced_dataset"}
    assert {field for _, field in COLUMN["provenance"].sources} == {*read, "feedback_id"}


def test_the_classes_of_a_column_are_those_of_the_schema():
    assert COLUMN["label"].span == ", ".join(
        f"{code} {name}" for name, code in sorted(LABELS.items(), key=lambda i: i[1])
    )
    assert COLUMN["split"].span == ", ".join(SPLITS)
    assert COLUMN["provenance"].span == ", ".join(PROVENANCES)


def test_the_fields_of_a_plan_are_the_same_in_opinion_and_ledger():
    def inside(asset: str, parent: str) -> list[str]:
        names = [field.name for field in SOURCE_FIELDS[asset]]
        return [name.removeprefix(f"{parent}.") for name in names if name.startswith(f"{parent}.")]

    assert inside(OPINIONS, "cognitive_plan") == inside(PLANS, "plan_data") == PLAN_FIELDS


def test_recorded_features_lie_in_the_ranges(golden_vectors: Path):
    ranges = {column.name: span for column in DATASET_COLUMNS if (span := limits(column.span))}
    assert len(ranges) > 15
    for line in golden_vectors.read_text().splitlines():
        for name, value in json.loads(line).get("features", {}).items():
            low, high = ranges.get(name, (float("-inf"), float("inf")))
            assert low <= value <= high, (name, value)


def limits(span: str) -> tuple[float, float] | None:
    """The range that a span states; None if it states none, or only what is usual."""
    if found := re.fullmatch(r"(-?[\d.]+) to (-?[\d.]+)", span):
        return float(found[1]), float(found[2])
    return (0.0, float("inf")) if span.startswith("0 and more") else None
