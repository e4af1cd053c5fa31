"""Tables for Dagster's UI, where JSON would hide behind a button."""

from collections.abc import Mapping, Sequence

from dagster import MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

Cell = str | int | float | bool | None


def pairs(key: str, value: str, content: Mapping[str, object]) -> TableMetadataValue:
    """A table of two columns, one row per entry. Fractions have three decimals."""
    return table((key, value), [(name, one) for name, one in content.items()])


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> TableMetadataValue:
    """A table with these columns; numbers stay numbers, so that they are aligned and can be sorted."""
    cells = [[_cell(one) for one in row] for row in rows]
    records = [TableRecord(dict(zip(columns, row, strict=True))) for row in cells]
    kinds = [_kind([row[number] for row in cells]) for number in range(len(columns))]
    schema = TableSchema([TableColumn(name, kind) for name, kind in zip(columns, kinds, strict=True)])
    return MetadataValue.table(records, schema=schema)


def as_counts(value: object) -> dict[str, int]:
    """The numbers in such a table of two columns, or in the JSON that earlier releases recorded instead."""
    if isinstance(value, TableMetadataValue):
        # Stored records have their cells in another order than the columns.
        name, count = (column.name for column in value.schema.columns)
        return {str(record.data[name]): int(record.data[count] or 0) for record in value.records}
    return dict(value) if isinstance(value, Mapping) else {}


def _cell(value: object) -> Cell:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value
    return round(value, 3) if isinstance(value, float) else str(value)


def _kind(cells: Sequence[Cell]) -> str:
    if cells and all(isinstance(cell, int) and not isinstance(cell, bool) for cell in cells):
        return "int"
    return "float" if cells and all(isinstance(cell, int | float) for cell in cells) else "string"
