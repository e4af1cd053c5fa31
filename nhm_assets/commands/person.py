"""Who runs a command, as the audit log names them."""

import getpass
import socket

from nhm_assets.settings import Settings


def person(settings: Settings, command: str) -> str:
    """NHM_ACTOR, else the user and host of the system; and the command."""
    return f"{settings.nhm_actor or f'{getpass.getuser()}@{socket.gethostname()}'}, nhm {command}"
