"""The files of a store: pointers, content, and how they are written completely or not at all."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from resources.errors import StorageError
from resources.storage_errors import damaged, read_error, store_errors

if TYPE_CHECKING:
    from upath import UPath


def digest(content: bytes) -> str:
    """Name of the file with this content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def content_of(file: "UPath") -> bytes | None:
    """The content of a file; None if there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def read_file(file: "UPath", asset: str) -> bytes:
    """The content of a file of this asset.

    Raises:
        StorageError: there is no such file, or it cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise StorageError(f"{file} does not exist: materialize {asset} for this partition first") from None
    except store_errors() as error:
        raise read_error(file, error) from error


def pointed_file(pointer: "UPath", asset: str) -> "UPath":
    """The file that a pointer names.

    Raises:
        StorageError: the pointer is missing, unreadable or damaged.
    """
    folder, _, name = read_file(pointer, asset).decode(errors="replace").strip().partition("/")
    if folder != pointer.stem or not name or "/" in name:
        raise damaged(pointer, asset, "it names no file of its partition")
    return pointer.parent / folder / name


def write_whole(path: "UPath", content: bytes) -> None:
    """Write a file that others see completely or not at all."""
    if getattr(path, "protocol", "") not in ("", "file", "local"):
        # Object stores show an object only once it is complete.
        path.write_bytes(content)
        return
    # Not by `tempfile`: its files are readable for their owner only, whatever the umask says.
    draft = Path(str(path)).parent / f".draft-{uuid4().hex}"
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(str(path))
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
