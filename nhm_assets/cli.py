"""The `nhm` command. Each subcommand has a module in `commands/`, which is imported when the command is called."""

import importlib
import sys
import warnings
from typing import Final, NamedTuple

import click

from nhm_assets.domain.errors import NhmError, UsageError
from nhm_assets.domain.garbage_collector import gc_paused
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


class Subcommand(NamedTuple):
    """A subcommand before it is imported.

    Attributes:
        module: in `commands/`; the command in it has the name of the subcommand.
        summary: what `nhm --help` says about it.
    """

    module: str
    summary: str


SUBCOMMANDS: Final = {
    "ab": Subcommand("ab", "Compare a candidate with the version in Production on the plans that come in."),
    "adopt": Subcommand("adopt", "Accept a version that somebody else put into Production."),
    "audit": Subcommand("audit", "Show the decisions about a specialist's models."),
    "backup": Subcommand("backup", "Keep dumps of the databases in NHM_STORAGE."),
    "cluster": Subcommand("cluster", "Check the Kubernetes cluster before and after an installation."),
    "dev": Subcommand("dev", "Run the whole platform on this machine."),
    "exporter": Subcommand("exporter", "Answer Prometheus at /metrics."),
    "generate": Subcommand("generate", "Let a language model make up rows to train on beside real ones."),
    "lineage": Subcommand("lineage", "Show what a version was made from, and who learned from a review."),
    "migrate": Subcommand("migrate", "Upgrade the databases of Dagster and MLflow, after a back-up."),
    "mongod": Subcommand("dev", "Keep the local MongoDB running."),
    "replay": Subcommand("replay", "Show what the gate with other settings would have decided."),
    "retrain": Subcommand("retrain", "Retrain specialists on the feedback up to the end of a week."),
    "rollback": Subcommand("rollback", "Put an earlier version back into Production."),
    "seed": Subcommand("seed", "Write demo plans, opinions and feedback into MongoDB."),
    "settings": Subcommand("settings", "List every setting: variable, current value, meaning."),
    "status": Subcommand("status", "Show the services, what is in Production, and the last decisions."),
    "validate": Subcommand("validate", "Ask the specialists' pods whether their models are loaded."),
    "watch": Subcommand("watch", "Show what the served version of a specialist did this week."),
}


class _Commands(click.Group):
    """Imports only the subcommand that is called, and prints the platform's own errors as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in SUBCOMMANDS:
            return None
        with gc_paused():
            module = importlib.import_module(f"nhm_assets.commands.{SUBCOMMANDS[cmd_name].module}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        # click would import every command to read its summary.
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.summary) for name, one in SUBCOMMANDS.items()])

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
