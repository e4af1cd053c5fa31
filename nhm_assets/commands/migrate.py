"""`nhm migrate`: the databases of Dagster and MLflow fit the programs of this image, after a back-up."""

import subprocess
import sys
from pathlib import Path

import click

from nhm_assets.domain.errors import UsageError
from nhm_assets.settings import Settings


@click.command()
@click.argument("dumps", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--without-backup", is_flag=True, help="Migrate although nothing is stored first.")
@click.option("--mlflow-database", metavar="URI", help="Upgrade MLflow's database at this address too.")
def migrate(dumps: Path | None, *, without_backup: bool, mlflow_database: str | None) -> None:
    """Store the dumps of the databases in NHM_STORAGE, then upgrade the databases.

    DUMPS is a folder with what `pg_dump -Fc` has just written. If they cannot be stored and read back, nothing is
    upgraded. A second call changes nothing. The password of --mlflow-database is read from PGPASSWORD.
    """
    from nhm_assets.commands.backup import backups_of, store_dumps
    from nhm_assets.instance.home import dagster_instance, prepare_home

    if (dumps is None) != without_backup:
        raise UsageError("name the folder with the dumps, or say --without-backup: nothing was upgraded")
    settings = Settings.load()
    prepare_home(settings)
    if dumps:
        store_dumps(backups_of(settings), dumps)
    with dagster_instance(settings) as instance:
        instance.upgrade(click.echo)
    click.echo("Dagster's database is up to date")
    if mlflow_database:
        _upgrade_mlflow(mlflow_database)
        click.echo("MLflow's database is up to date")


def _upgrade_mlflow(address: str) -> None:
    command = [sys.executable, "-m", "mlflow", "db", "upgrade", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        from resources.addresses import masked

        shown = masked(address)
        reason = error_in(done.stderr).replace(address, shown)[:300]
        raise UsageError(f"MLflow's database {shown} was not upgraded: {reason}. Restore the back-up")


def error_in(output: str) -> str:
    """The error at the end of a Python traceback. SQLAlchemy writes advice and a link below it."""
    lines = [line for line in output.splitlines() if line[:1].strip() and not line.startswith("(Background")]
    return lines[-1] if lines else "no reason given"
