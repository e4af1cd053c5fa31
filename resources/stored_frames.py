"""The content of a file that holds a frame: read as a whole, or the columns that are asked for."""

import json
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import pyarrow as pa

ATTRS_KEY: Final = b"nhm.attrs"
"""In the metadata of the file: the frame's `attrs`, as JSON."""


def frame_of(content: bytes, columns: Sequence[str] | None = None, *, packed: Sequence[str] = ()) -> "pd.DataFrame":
    """The frame with its `attrs`.

    Args:
        content: of the file.
        columns: that the frame has; None: all.
        packed: columns whose texts stay Arrow's: as Python objects, a million of them take a hundred megabytes.

    Raises:
        ValueError: the content is damaged, or lacks such a column.
    """
    import pandas as pd
    import pyarrow as pa

    with _refused():
        table = _table(content, columns)
        attrs = _attrs(table.schema)
        for name in packed:
            place = table.schema.get_field_index(name)
            if place >= 0 and pa.types.is_string(table.schema.field(place).type):
                table = table.set_column(place, name, table[name].cast(pa.large_string()))
        kinds = {pa.large_string(): pd.ArrowDtype(pa.large_string())} if packed else {}
        # Each column is freed as soon as the frame has it.
        frame: pd.DataFrame = table.to_pandas(self_destruct=True, types_mapper=kinds.get)
    frame.attrs = attrs
    return frame


class StoredFrame:
    """A frame in a file, whose columns are read as they are asked for: all together take far more memory.

    Each method raises ValueError if the content is damaged.
    """

    def __init__(self, content: bytes) -> None:
        """The frame with this content."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _refused():
            described = pq.ParquetFile(pa.BufferReader(content))
            self.columns: list[str] = described.schema_arrow.names
            self._rows: int = described.metadata.num_rows
            self.attrs = _attrs(described.schema_arrow)
        self._content = content

    def __len__(self) -> int:
        """Number of rows."""
        return self._rows

    def __getitem__(self, name: str) -> "pd.Series":
        """A column. Texts are Arrow's: as Python objects, a million of them take a hundred megabytes."""
        import pandas as pd
        import pyarrow as pa

        with _refused():
            kinds = {kind: pd.ArrowDtype(kind) for kind in (pa.string(), pa.large_string())}
            return _table(self._content, [name]).to_pandas(types_mapper=kinds.get)[name]

    def frame(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """These columns as a frame, with its `attrs`; None: all."""
        return frame_of(self._content, columns)


def _attrs(schema: "pa.Schema") -> dict[Any, Any]:
    attrs: dict[Any, Any] = json.loads((schema.metadata or {}).get(ATTRS_KEY, b"{}"))
    return attrs


def _table(content: bytes, columns: Sequence[str] | None) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    chosen = None if columns is None else list(columns)
    return pq.read_table(pa.BufferReader(content), columns=chosen, page_checksum_verification=True)


@contextmanager
def _refused() -> "Iterator[Any]":
    """What PyArrow raises about damaged content, as ValueError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
