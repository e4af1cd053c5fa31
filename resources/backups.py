"""Dumps of databases in a store: `<storage>/backups/<time>/<database>-<digest of the content>.dump`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resources.errors import StorageError
from resources.folders import require_folder
from resources.storage_errors import read_error, store_errors, write_error
from resources.storage_files import digest, write_whole
from resources.storage_location import location

if TYPE_CHECKING:
    from upath import UPath

SUFFIX: Final = ".dump"
_FOLDER: Final = "backups"
_TIME: Final = "%Y-%m-%dT%H-%M-%SZ"
_MAGIC: Final = b"PGDMP"
"""Begins every file of `pg_dump --format=custom`."""


@dataclass(frozen=True)
class Backup:
    """The dumps that were stored together.

    Attributes:
        name: the time at which they were stored.
        dumps: the files, by database.
    """

    name: str
    dumps: "dict[str, UPath]"


class Backups:
    """The back-ups in a store.

    Args:
        storage: as in `storage`: a folder or an address.
    """

    def __init__(self, storage: str) -> None:
        self._folder = location(storage) / _FOLDER

    def store(self, files: Sequence[Path], now: datetime) -> Backup:
        """Store complete dumps, and read each of them back.

        Raises:
            StorageError: a file is no dump, or cannot be written or read back.
        """
        for file in files:
            with file.open("rb") as opened:
                if opened.read(len(_MAGIC)) != _MAGIC:
                    raise StorageError(f"{file} is no dump of `pg_dump --format=custom`, so nothing was stored")
        folder = self._folder / now.astimezone(UTC).strftime(_TIME)
        dumps = {}
        for file in files:
            dumps[file.stem] = _written(file, folder)
            _read(dumps[file.stem])
        return Backup(folder.name, dumps)

    def all(self) -> list[Backup]:
        """Every back-up, newest first; StorageError if that is unreadable."""
        try:
            files = sorted(self._folder.glob(f"*/*{SUFFIX}"), key=str)
        except FileNotFoundError:
            return []
        except store_errors() as error:
            raise read_error(self._folder, error) from error
        by_name: dict[str, dict[str, UPath]] = {}
        for file in files:
            by_name.setdefault(file.parent.name, {})[file.stem.rpartition("-")[0]] = file
        return [Backup(name, by_name[name]) for name in sorted(by_name, reverse=True)]

    def fetch(self, backup: Backup, folder: Path) -> list[Path]:
        """Copy its dumps into a folder; StorageError if one is missing or damaged, or the folder unusable."""
        require_folder(folder, "the folder")
        copies = []
        for database, file in backup.dumps.items():
            copy = folder / f"{database}{SUFFIX}"
            copy.write_bytes(_read(file))
            copies.append(copy)
        return copies

    def forget(self, backup: Backup) -> None:
        """Delete its dumps."""
        for file in backup.dumps.values():
            try:
                file.unlink()
            except store_errors() as error:
                raise write_error(file, error) from error


def _written(file: Path, folder: "UPath") -> "UPath":
    content = file.read_bytes()
    target = folder / f"{file.stem}-{digest(content)}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(target, content)
    except store_errors() as error:
        raise write_error(target, error) from error
    return target


def _read(file: "UPath") -> bytes:
    try:
        content = file.read_bytes()
    except store_errors() as error:
        raise read_error(file, error) from error
    if digest(content) != file.stem.rpartition("-")[2]:
        raise StorageError(f"{file} is damaged (its name is not the digest of its content): use another back-up")
    return content
