"""Where assets are kept: frames as Parquet, records as JSON, in a folder or any fsspec store.

A file is written whole or not at all, and carries the partition in its name:
`<storage>/<asset>/<specialist>/<week>.parquet`.
"""

import errno
import io
import json
import os
import sys
import tempfile
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import InputContext, MetadataValue, OutputContext, UPathIOManager

from resources.addresses import masked
from resources.errors import StorageError

if TYPE_CHECKING:
    import pandas as pd
    from upath import UPath

_ATTRS_KEY = b"nhm.attrs"


class _StoredIOManager(UPathIOManager):
    """What frames and records have in common: where they lie, whole files, and errors that help.

    Args:
        storage: a folder, or an address that fsspec understands, such as s3://bucket/prefix.
    """

    def __init__(self, storage: str) -> None:
        self._storage = storage

    @cached_property
    def _base_path(self) -> "UPath":
        from upath import UPath

        try:
            path = UPath(self._storage)
            path.fs  # noqa: B018 - the library that reads it is imported only now
        except ValueError as error:
            raise StorageError(
                f"NHM_STORAGE is {masked(self._storage)}, of a kind that nothing reads ({error})"
            ) from error
        except ImportError as error:
            raise StorageError(
                f"NHM_STORAGE is {masked(self._storage)}, and this machine lacks what reads it ({error}):"
                " for s3:// install the extra `s3`"
            ) from error
        return path

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Keep the object.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            super().handle_output(context, obj)
        except _store_errors() as error:
            raise _write_error(self._base_path, error) from error

    def dump_to_path(self, context: OutputContext, obj: Any, path: "UPath") -> None:  # noqa: ARG002 - Dagster's
        """Write the object's bytes, whole or not at all."""
        content = self.to_bytes(obj)
        try:
            _write_whole(path, content)
        except _store_errors() as error:
            raise _write_error(path, error) from error

    def load_from_path(self, context: InputContext, path: "UPath") -> Any:
        """Read the object back.

        Raises:
            StorageError: the file is missing, unreadable or damaged.
        """
        asset = context.asset_key.to_user_string()
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise StorageError(f"{path} does not exist: materialize {asset} for this partition first") from None
        except _store_errors() as error:
            raise StorageError(f"{path} cannot be read ({error}): check NHM_STORAGE and its rights") from error
        try:
            return self.from_bytes(content, context)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise StorageError(f"{path} is damaged ({reason}): materialize {asset} for this partition again") from error

    def to_bytes(self, obj: Any) -> bytes:
        """The object as file content."""
        raise NotImplementedError

    def from_bytes(self, content: bytes, context: InputContext) -> Any:
        """The object that the content stands for; raises ValueError where it stands for none."""
        raise NotImplementedError


class FrameIOManager(_StoredIOManager):
    """Keeps pandas frames, their `attrs` included, as Parquet. Equal frames give equal bytes."""

    extension: str | None = ".parquet"

    def to_bytes(self, obj: "pd.DataFrame") -> bytes:
        """Parquet without the index; `attrs` must be JSON."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Without the attributes, which PyArrow would add once more, in whatever order they came about.
        bare = obj.copy(deep=False)
        bare.attrs = {}
        table = pa.Table.from_pandas(bare, preserve_index=False)
        attrs = json.dumps(obj.attrs, sort_keys=True).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _ATTRS_KEY: attrs})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        return buffer.getvalue()

    def from_bytes(self, content: bytes, context: InputContext) -> "pd.DataFrame":  # noqa: ARG002
        """The frame with its `attrs`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(io.BytesIO(content), page_checksum_verification=True)
            frame = table.to_pandas()
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            raise ValueError(str(error)) from error
        frame.attrs = json.loads((table.schema.metadata or {}).get(_ATTRS_KEY, b"{}"))
        return frame

    def get_metadata(self, context: OutputContext, obj: "pd.DataFrame") -> dict[str, MetadataValue]:  # noqa: ARG002
        """Rows and columns, under the names that Dagster's UI plots and knows."""
        return {
            "dagster/row_count": MetadataValue.int(len(obj)),
            "dagster/uri": MetadataValue.text(f"{masked(self._storage)}"),
        }


class RecordIOManager(_StoredIOManager):
    """Keeps pydantic models as JSON; the type that an asset's signature names is the one that is read."""

    extension: str | None = ".json"

    def to_bytes(self, obj: Any) -> bytes:
        """Indented JSON, for people who open the file."""
        return obj.model_dump_json(indent=2).encode() + b"\n"

    def from_bytes(self, content: bytes, context: InputContext) -> Any:
        """The record; pydantic's ValidationError is a ValueError."""
        return context.dagster_type.typing_type.model_validate_json(content)


def check_storage(storage: str) -> None:
    """Write, read and remove a small file.

    Raises:
        StorageError: one of these is not possible.
    """
    base = _StoredIOManager(storage)._base_path
    probe = base / f".probe-{os.getpid()}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"nhm")
        probe.read_bytes()
        probe.unlink()
    except _store_errors() as error:
        with suppress(*_store_errors()):
            probe.unlink(missing_ok=True)
        raise _write_error(probe, error) from error


def _store_errors() -> tuple[type[Exception], ...]:
    """What reading and writing raise. fsspec makes an OSError of most, not of an S3 that is out of reach."""
    botocore = sys.modules.get("botocore.exceptions")
    return (OSError, botocore.BotoCoreError) if botocore else (OSError,)


def _write_whole(path: "UPath", content: bytes) -> None:
    if getattr(path, "protocol", "") not in ("", "file", "local"):
        # Object stores show an object only once it is complete.
        path.write_bytes(content)
        return
    folder = Path(str(path)).parent
    descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".draft-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(str(path))
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _write_error(path: "UPath", error: Exception) -> StorageError:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{path} cannot be written: the disk is full. Free space there or set NHM_STORAGE to another place,"
            " then run this again; what was stored before is untouched"
        )
    return StorageError(f"{path} cannot be written ({error}): check NHM_STORAGE and its rights")
