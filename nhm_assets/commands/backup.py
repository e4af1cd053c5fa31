"""`nhm backup`: dumps of the databases, kept in NHM_STORAGE."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings

if TYPE_CHECKING:
    from resources.backups import Backup, Backups

KEPT = 14
"""Back-ups that stay if nobody says otherwise: two weeks of nights."""

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def backup() -> None:
    """Keep dumps of the databases in NHM_STORAGE. `pg_dump` makes them, and `pg_restore` reads them."""


@backup.command()
@click.argument("folder", type=_FOLDER)
@click.option("--keep", type=click.IntRange(1), default=KEPT, show_default=True, help="How many back-ups stay.")
def store(folder: Path, *, keep: int) -> None:
    """Store every *.dump file of FOLDER as one back-up, and delete the oldest back-ups."""
    backups = backups_of(Settings.load())
    store_dumps(backups, folder)
    for old in backups.all()[keep:]:
        backups.forget(old)
        click.echo(f"deleted the back-up {old.name}")


@backup.command("list")
def show() -> None:
    """List the back-ups, newest first."""
    for one in backups_of(Settings.load()).all():
        click.echo(f"{one.name}  {', '.join(sorted(one.dumps))}")


@backup.command()
@click.argument("folder", type=_FOLDER)
@click.option("--taken", metavar="TIME", help="Which one, as `nhm backup list` names it. Default: the newest.")
def fetch(folder: Path, *, taken: str | None) -> None:
    """Copy the dumps of a back-up into FOLDER, each checked against its digest."""
    backups = backups_of(Settings.load())
    found = backups.all()
    chosen = next((one for one in found if taken in (None, one.name)), None)
    if chosen is None:
        if not found:
            raise UsageError("there is no back-up in NHM_STORAGE. `nhm backup store` makes one")
        raise UsageError(f"there is no back-up {taken} in NHM_STORAGE. `nhm backup list` names those there are")
    for copy in backups.fetch(chosen, folder):
        click.echo(copy)


def backups_of(settings: Settings) -> "Backups":
    """The back-ups in NHM_STORAGE."""
    from resources.backups import Backups

    return Backups(settings.storage)


def store_dumps(backups: "Backups", folder: Path) -> "Backup":
    """Store the dumps of a folder, and say so.

    Raises:
        UsageError: there are none.
    """
    from datetime import UTC, datetime

    from resources.backups import SUFFIX

    files = sorted(folder.glob(f"*{SUFFIX}"))
    if not files:
        raise UsageError(f"{folder} holds no *{SUFFIX} file, so there is nothing to store. `pg_dump -Fc` makes them")
    stored = backups.store(files, datetime.now(UTC))
    for database, file in stored.dumps.items():
        click.echo(f"stored {database} in the back-up {stored.name} ({file.stat().st_size:,} bytes)")
    return stored
