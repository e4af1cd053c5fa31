"""The tables of fields and columns as Dagster's metadata: schemas, and which column comes from which field."""

from typing import Any

from dagster import (
    AssetKey,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
)

from nhm_assets.domain.dataset_columns import DATASET_COLUMNS, Column
from nhm_assets.domain.source_fields import SOURCE_FIELDS

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
    fields = ", ".join(f"{asset}.{field}" for asset, field in column.sources)
    return TableColumn(
        column.name,
        column.kind,
        f"{column.meaning} From {fields}." if fields else column.meaning,
        TableColumnConstraints(nullable=column.nullable, unique=column.span == "unique", other=[column.span]),
        {"unit": column.unit} if column.unit else {},
    )
