"""Who runs a command and why, as the audit log says it."""

import getpass
import socket
from typing import Final

import click

from nhm_assets.domain.text import readable
from nhm_assets.settings import Settings

reason_option: Final = click.option(
    "--reason",
    metavar="TEXT",
    required=True,
    # A terminal that is not UTF-8 gives bytes that no database takes.
    callback=lambda _context, _option, text: readable(text),
    help="Why. It is recorded in the audit log.",
)


def person(settings: Settings, command: str) -> str:
    """NHM_ACTOR, else the user and host of the system; and the command."""
    return f"{settings.nhm_actor or f'{getpass.getuser()}@{socket.gethostname()}'}, nhm {command}"
