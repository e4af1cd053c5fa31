"""Where assets are stored, and whether that place works."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from resources.addresses import masked
from resources.errors import StorageError
from resources.storage_errors import STORAGE, store_errors, write_error

if TYPE_CHECKING:
    from upath import UPath


def location(storage: str) -> "UPath":
    """The root of a store.

    Args:
        storage: a folder, or an address that fsspec understands, such as s3://bucket/prefix, or that of a folder in
            MLflow's artifact store; see `artifacts_address`.

    Raises:
        StorageError: the address cannot be used.
    """
    from upath import UPath

    if storage.startswith(("mlflow://", "mlflows://")):
        import resources.mlflow_artifacts  # noqa: F401 - teaches fsspec these addresses
    try:
        path = UPath(storage)
        path.fs  # noqa: B018 - imports the library that reads it
    except ValueError as error:
        raise StorageError(
            f"NHM_STORAGE {masked(storage)} cannot be used ({error}). Set it to a folder or s3://bucket/prefix"
        ) from error
    except ImportError as error:
        raise StorageError(
            f"NHM_STORAGE {masked(storage)} needs a library that is not installed ({error})."
            " For s3:// install the extra `s3`: pip install 'nhm-assets[s3]'"
        ) from error
    return path


def check_storage(storage: str, setting: str = STORAGE) -> None:
    """Write, read and remove a small file.

    Args:
        storage: see `location`.
        setting: what says where it is, for the message.

    Raises:
        StorageError: one of these failed.
    """
    # A folder needs no library, and to import them takes longer than the check.
    base = location(storage) if ":" in storage else Path(storage)
    probe = base / f".probe-{os.getpid()}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"nhm")
        probe.read_bytes()
        probe.unlink()
    except store_errors() as error:
        with suppress(*store_errors()):
            probe.unlink(missing_ok=True)
        raise write_error(base, error, setting) from error
