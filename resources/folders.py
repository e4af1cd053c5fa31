"""Folders on this machine that the platform keeps files in: made if missing, and tried before they are used."""

import tempfile
from pathlib import Path

from resources.storage_errors import write_error

HOME = "NHM_HOME"
"""The setting that says where the folders are of which nothing else says it."""


def require_folder(folder: Path, setting: str = HOME, *, mode: int = 0o777) -> None:
    """Make the folder if it is missing, and try to write into it. No other process sees what is written.

    Args:
        folder: to use.
        setting: what says where it is, for the message.
        mode: its rights, if it is made.

    Raises:
        StorageError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"nhm")
    except OSError as error:
        raise write_error(folder, error, setting) from error
