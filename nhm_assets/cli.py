"""The `nhm` command. Each subcommand stands in a module of its own under `commands/`."""

import gc
import sys

import click

from nhm_assets.domain.errors import NhmError, UsageError
from resources.errors import ServiceError

_WRONG_USE = 2
_BROKEN = 1


class _Commands(click.Group):
    """Prints the platform's own errors as one sentence: the thing and the remedy, no stack trace."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"nhm: {error}", err=True)
            sys.exit(_WRONG_USE)
        except (NhmError, ServiceError) as error:
            click.echo(f"nhm: {error}", err=True)
            sys.exit(_BROKEN)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nhm-assets")
def main() -> None:
    """Retrain the specialists of the Neural Hive Mind, and see what is in production.

    Everything is configured by environment variables; `nhm settings` lists them.
    """
    # The collector would walk the growing pile of imported modules again and again. Commands that work for long
    # switch it on again once they have imported what they need.
    gc.disable()


def _add_commands() -> None:
    from nhm_assets.commands.dev import dev, mongod
    from nhm_assets.commands.retrain import retrain
    from nhm_assets.commands.rollback import rollback
    from nhm_assets.commands.seed import seed
    from nhm_assets.commands.settings import settings
    from nhm_assets.commands.status import status
    from nhm_assets.commands.validate import validate

    for command in (seed, retrain, rollback, status, validate, settings, dev, mongod):
        main.add_command(command)


_add_commands()
