"""The `nhm` command. Each subcommand has a module in `commands/`."""

import sys
import warnings

import click

from nhm_assets.commands.adopt import adopt
from nhm_assets.commands.audit import audit
from nhm_assets.commands.dev import dev, mongod
from nhm_assets.commands.exporter import exporter
from nhm_assets.commands.replay import replay
from nhm_assets.commands.retrain import retrain
from nhm_assets.commands.rollback import rollback
from nhm_assets.commands.seed import seed
from nhm_assets.commands.settings import settings
from nhm_assets.commands.status import status
from nhm_assets.commands.validate import validate
from nhm_assets.domain.errors import NhmError, UsageError
from resources.errors import ServiceError

KNOWN_WARNINGS = (
    # Dagster, about features that we use: data versions of outputs, partitioned asset checks, dagster-mlflow.
    r".* is currently in (beta|preview)",
    # MLflow: two of its source types fit a dataset in a local folder, and both mean the same.
    r"The specified dataset source can be interpreted in multiple ways",
    # MLflow, about the label column of a logged dataset. No model reads that column.
    r"Hint: Inferred schema contains integer column",
)
"""First words of warnings that no command shows, because the person who runs it cannot do anything about them."""


class _Commands(click.Group):
    """Prints the platform's own errors as one sentence, without a stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (NhmError, ServiceError) as error:
            click.echo(f"nhm: {error}", err=True)
            sys.exit(2 if isinstance(error, UsageError) else 1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nhm-assets")
def main() -> None:
    """Retrain the specialists of the Neural Hive Mind, and see what is in production.

    Environment variables configure everything. `nhm settings` lists them.
    """
    for message in KNOWN_WARNINGS:
        warnings.filterwarnings("ignore", message)


for command in (seed, retrain, rollback, adopt, replay, audit, status, validate, settings, exporter, dev, mongod):
    main.add_command(command)
