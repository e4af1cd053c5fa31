"""`nhm cluster check --manifests`: whether the platform's programs accept the settings of rendered manifests."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from nhm_assets.commands.cluster_lines import Line, fault, ok

_FILE: Final = "SPECIALISTS_FILE"
_PROGRAM: Final = "from nhm_assets.cli import main; main(['settings'])"


def line_of_settings(configured: Mapping[str, str], specialists: str | None) -> Line:
    """What a program says that starts with these settings. Every pod would stop at its start where it refuses them.

    Args:
        configured: the variables of the ConfigMap nhm-settings.
        specialists: the text of the file of SPECIALISTS_FILE; None if there is none or it is not known.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "specialists.yaml")
        environment = {name: value for name, value in configured.items() if name != _FILE}
        if specialists is not None:
            file.write_text(specialists)
            environment[_FILE] = str(file)
        command = [sys.executable, "-c", _PROGRAM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return ok("settings", "pods accept them")
    said = [line.removeprefix("nhm: ") for line in done.stderr.splitlines() if line.strip()]
    reason = (said[-1] if said else "no reason given").replace(str(file), configured.get(_FILE, ""))
    return fault("settings", f"no pod would start: {reason}", "Correct that in your overlay")
