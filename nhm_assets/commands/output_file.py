"""The type of options that name a file for a command to write."""

from pathlib import Path
from typing import Any

import click

from resources.errors import StorageError
from resources.folders import require_folder


class OutputFile(click.Path):
    """A file that is written when the work is done, and refused before it begins if that is impossible."""

    def __init__(self) -> None:
        """With the path as a Path."""
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, as click calls it."""
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]
        folder = path.absolute().parent
        if path.exists():
            return path
        if not folder.is_dir():
            self.fail(f"folder {folder} does not exist", param, ctx)
        try:
            require_folder(folder, param.opts[0] if param else str(path))
        except StorageError as error:
            self.fail(str(error), param, ctx)
        return path
