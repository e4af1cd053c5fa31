"""Stores assets: frames as Parquet and records as JSON, in a folder or any fsspec store.

A file is named by its content, `<storage>/<asset>/<specialist>/<week>/<digest>.parquet`, and is never overwritten. The
pointer `<storage>/<asset>/<specialist>/<week>.current` names the one that counts. Earlier files stay, so what a
promoted version learned from can always be read again. Files and pointers are written completely or not at all.
"""

import gc
import io
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dagster import InputContext, MetadataValue, OutputContext, UPathIOManager

from resources.addresses import masked
from resources.storage_errors import damaged, read_error, store_errors, write_error
from resources.storage_files import content_of, digest, pointed_file, read_file, write_whole
from resources.storage_location import location
from resources.stored_frames import ATTRS_KEY, StoredFrame, frame_of

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel
    from upath import UPath

R = TypeVar("R", bound="BaseModel")
FILE: Final = "file"
"""In the metadata of a materialization: the path of what was stored, in the store."""
_LARGE: Final = 4_000_000
"""Bytes of a file whose rows take so much memory that it is worth the time to collect garbage first."""


class _StoredIOManager(UPathIOManager):
    """What frames and records share: their location, complete files, and helpful errors.

    Args:
        storage: see `location`.
    """

    extension: str | None = ".current"
    content_extension: str

    def __init__(self, storage: str) -> None:
        self._storage = storage

    @cached_property
    def _base_path(self) -> "UPath":
        return location(self._storage)

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store the object.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            super().handle_output(context, obj)
        except store_errors() as error:
            raise write_error(self._base_path, error) from error

    def dump_to_path(self, context: OutputContext, obj: Any, path: "UPath") -> None:
        """Store the object; the materialization names its file, by its path in NHM_STORAGE."""
        file = self._store(path, obj)
        context.add_output_metadata({FILE: MetadataValue.text(str(file.relative_to(self._base_path)))})

    def get_metadata(self, context: OutputContext, obj: Any) -> dict[str, MetadataValue]:  # noqa: ARG002
        """Where the pointer is, in NHM_STORAGE. Otherwise Dagster shows a path of the server."""
        pointer = next(iter(self._get_paths_for_partitions(context).values()))
        return {"path": MetadataValue.text(str(pointer.relative_to(self._base_path)))}

    def store(self, obj: Any, asset: str, *partition: str) -> None:
        """Store the object of a partition without Dagster."""
        pointer = self._pointer(asset, *partition)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        self._store(pointer, obj)

    def file_of(self, asset: str, *partition: str) -> "UPath":
        """The file that counts for this partition.

        Raises:
            StorageError: there is none, or the pointer to it is unreadable or damaged.
        """
        return pointed_file(self._pointer(asset, *partition), asset)

    def files_of(self, asset: str, *partition: str) -> "list[UPath]":
        """Every file that was stored for this partition, the one that counts first; StorageError if unreadable."""
        pointer = self._pointer(asset, *partition)
        try:
            files = sorted(pointer.with_suffix("").glob(f"*{self.content_extension}"), key=str)
        except store_errors() as error:
            raise read_error(pointer, error) from error
        counting = pointed_file(pointer, asset) if files else None
        return sorted(files, key=lambda file: file != counting)

    def partitions_of(self, asset: str) -> list[tuple[str, str]]:
        """Every partition of an asset with two dimensions that has a file; StorageError if that is unreadable."""
        folder = self._base_path / asset
        try:
            pointers = sorted(folder.glob(f"*/*{self.extension}"), key=str)
        except store_errors() as error:
            raise read_error(folder, error) from error
        return [(pointer.parent.name, pointer.stem) for pointer in pointers]

    def _pointer(self, asset: str, *partition: str) -> "UPath":
        return self._with_extension(self._base_path.joinpath(asset, *partition))

    def _store(self, pointer: "UPath", obj: Any) -> "UPath":
        content = self.to_bytes(obj)
        folder = pointer.with_suffix("")
        file = folder / f"{digest(content)}{self.content_extension}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A file with this name and other content was damaged on the disk.
            if content_of(file) != content:
                write_whole(file, content)
            write_whole(pointer, f"{folder.name}/{file.name}\n".encode())
        except store_errors() as error:
            raise write_error(file, error) from error
        return file

    def load_from_path(self, context: InputContext, path: "UPath") -> Any:
        """Read the object back.

        Raises:
            StorageError: the file is missing, unreadable or damaged.
        """
        asset = context.asset_key.to_user_string()
        return self._load(pointed_file(path, asset), asset, context)

    def _load(self, file: "UPath", asset: str, context: InputContext | None) -> Any:
        try:
            # Nothing here keeps the content: beside the object, it would take much memory.
            return self.from_bytes(_undamaged(file, asset), context)
        except ValueError as error:
            raise damaged(file, asset, str(error).splitlines()[0]) from error

    def to_bytes(self, obj: Any) -> bytes:
        """The object as the content of a file."""
        raise NotImplementedError

    def from_bytes(self, content: bytes, context: InputContext | None) -> Any:
        """The object with this content. Raises ValueError if the content is damaged."""
        raise NotImplementedError


class FrameIOManager(_StoredIOManager):
    """Stores pandas frames with their `attrs` as Parquet. Equal frames give equal bytes.

    Args:
        storage: see `location`.
        packed: columns of texts that stay Arrow's when a step reads them; see `frame_of`. Stored again, they give other
            bytes.
    """

    content_extension = ".parquet"

    def __init__(self, storage: str, packed: Sequence[str] = ()) -> None:
        super().__init__(storage)
        self._packed = packed

    def to_bytes(self, obj: "pd.DataFrame") -> bytes:
        """Parquet without the index; `attrs` must be JSON."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Otherwise PyArrow stores the attributes once more, in the order in which they were set.
        bare = obj.copy(deep=False)
        bare.attrs = {}
        table = pa.Table.from_pandas(bare, preserve_index=False)
        attrs = json.dumps(obj.attrs, sort_keys=True).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), ATTRS_KEY: attrs})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        return buffer.getvalue()

    def from_bytes(self, content: bytes, context: InputContext | None) -> "pd.DataFrame":  # noqa: ARG002
        """The frame with its `attrs`."""
        if len(content) > _LARGE:
            # Dagster leaves cycles of references to what the step before has read or made.
            gc.collect()
        return frame_of(content, packed=self._packed)

    def read(self, file: "UPath", asset: str) -> "pd.DataFrame":
        """The frame in one of the files of an asset.

        Raises:
            StorageError: it cannot be read, or it is damaged.
        """
        return self._load(file, asset, None)

    def stored(self, file: "UPath", asset: str) -> "StoredFrame":
        """The same, but only the columns that are asked for are read.

        Raises:
            StorageError: it cannot be read, or it is damaged.
        """
        try:
            return StoredFrame(_undamaged(file, asset))
        except ValueError as error:
            raise damaged(file, asset, str(error)) from error

    def get_metadata(self, context: OutputContext, obj: "pd.DataFrame") -> dict[str, MetadataValue]:
        """Also the row count and the address, under the names that Dagster's UI knows."""
        shown = {"dagster/row_count": MetadataValue.int(len(obj)), **address_metadata(self._storage)}
        return super().get_metadata(context, obj) | shown


class RecordIOManager(_StoredIOManager):
    """Stores pydantic models as JSON, and reads them as the type in the asset's signature."""

    content_extension = ".json"

    def to_bytes(self, obj: Any) -> bytes:
        """Indented JSON, for people who open the file."""
        return obj.model_dump_json(indent=2).encode() + b"\n"

    def from_bytes(self, content: bytes, context: InputContext | None) -> Any:
        """The record; pydantic's ValidationError is a ValueError."""
        # The type of a record is known only from the asset that reads it.
        return context and context.dagster_type.typing_type.model_validate_json(content)

    def read(self, file: "UPath", asset: str, kind: "type[R]") -> "R":
        """The record of this kind in one of the files of an asset.

        Raises:
            StorageError: it cannot be read, or it is damaged.
        """
        try:
            return kind.model_validate_json(_undamaged(file, asset))
        except ValueError as error:
            raise damaged(file, asset, str(error).splitlines()[0]) from error


def _undamaged(file: "UPath", asset: str) -> bytes:
    content = read_file(file, asset)
    if digest(content) != file.stem:
        raise ValueError("its name is not the digest of its content")
    return content


def address_metadata(storage: str) -> dict[str, MetadataValue]:
    """The address of a store, as Dagster's UI knows it; none for a folder of the server, which tells people nothing."""
    return {"dagster/uri": MetadataValue.text(masked(storage))} if "://" in storage else {}
