"""Fields, columns and rows as Dagster's metadata: schemas, which column comes from which field, and counts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
from dagster import (
    AssetKey,
    MetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)

from nhm_assets.domain.dataset_columns import DATASET_COLUMNS, Column, fields_of
from nhm_assets.domain.dataset_schema import CLASS_NAMES, counts
from nhm_assets.domain.source_fields import SOURCE_FIELDS
from nhm_assets.steps.tables import pairs

_SCHEMA = "dagster/column_schema"
_LINEAGE = "dagster/column_lineage"


def collection_metadata(asset: str) -> dict[str, Any]:
    """The schema of the documents of a collection."""
    columns = [TableColumn(field.name, field.kind, field.meaning) for field in SOURCE_FIELDS[asset]]
    return {_SCHEMA: TableSchema(columns)}


def dataset_metadata() -> dict[str, Any]:
    """The schema of the dataset, and the fields that each column comes from."""
    lineage = {
        column.name: [TableColumnDep(AssetKey(asset), field) for asset, field in column.sources]
        for column in DATASET_COLUMNS
        if column.sources
    }
    return {_SCHEMA: TableSchema(list(map(_table_column, DATASET_COLUMNS))), _LINEAGE: TableColumnLineage(lineage)}


def _table_column(column: Column) -> TableColumn:
    fields = ", ".join(fields_of(column.name))
    return TableColumn(
        column.name,
        column.kind,
        f"{column.meaning} From {fields}." if fields else column.meaning,
        TableColumnConstraints(nullable=column.nullable, unique=column.span == "unique", other=[column.span]),
        {"unit": column.unit} if column.unit else {},
    )


def shown_summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored beside the rows, as people read it; what was not computed is left out."""
    start, end = map(datetime.fromisoformat, summary["window"])
    shown = {
        "window_start": MetadataValue.timestamp(start),
        "window_end": MetadataValue.timestamp(end),
        **{name: value for name, value in summary.items() if name not in ("window", "quarantined", "llm_left_out")},
        "quarantined": pairs("reason", "documents", summary["quarantined"]),
    }
    if left_out := summary.get("llm_left_out"):
        shown["llm_left_out"] = pairs("reason", "rows", left_out)
    return {name: value for name, value in shown.items() if value is not None}


def shown_counts(frame: pd.DataFrame) -> dict[str, Any]:
    """Rows per class, split and provenance."""
    labels = {CLASS_NAMES[int(code)]: count for code, count in counts(frame["label"]).items()}
    return {
        "labels": pairs("class", "rows", labels),
        "splits": pairs("split", "rows", counts(frame["split"])),
        "provenance": pairs("given by", "rows", counts(frame["provenance"])),
    }
