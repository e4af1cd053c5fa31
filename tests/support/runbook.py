"""The commands that docs/runbook.md tells people to run."""

import os
import re
import shlex
import subprocess

from tests.support.nhm import environment, nhm
from tests.support.processes import ROOT
from tests.support.servers import SCRIPTS


def commands_of(title: str) -> list[str]:
    """The commands of the section with this title, in order."""
    section = (ROOT / "docs/runbook.md").read_text().partition(f"\n### {title}\n")[2].partition("\n#")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


def follow(command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run one of them as a person does, with these settings."""
    variables = environment(**settings) | {"DAGSTER_HOME": f"{settings['nhm_home']}/dagster"}
    program, *arguments = shlex.split(re.sub(r"\$(\w+)", lambda found: variables[found[1]], command))
    if program == "nhm":
        return nhm(*arguments, **settings)
    variables |= {"MAX_CONCURRENT_RUNS": "1", "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [SCRIPTS / program, *arguments], env=variables, capture_output=True, text=True, timeout=170, check=False
    )
