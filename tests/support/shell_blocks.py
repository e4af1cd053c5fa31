"""The shell commands that documents show."""

import re
import shlex
from collections.abc import Iterator

PROGRAMS = (
    ".",
    "cd",
    "cp",
    "curl",
    "dagster-daemon",
    "dagster-webserver",
    "dg",
    "docker",
    "export",
    "kubectl",
    "make",
    "mkdir",
    "nhm",
    "pip",
    "promtool",
    "pytest",
    "python",
    "python3",
)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S* ")
_SEPARATORS = {"&&", "|", ";"}


def commands(text: str) -> Iterator[str]:
    """Every shell command in the indented blocks of a document; continued lines are one command."""
    block = "\n".join(line.strip() if line.startswith("    ") else "" for line in text.splitlines())
    for line in block.replace("\\\n", " ").splitlines():
        bare = line
        while match := _ASSIGNMENT.match(bare):
            bare = bare[match.end() :]
        if bare.split(" ", 1)[0] in PROGRAMS or bare.startswith("./"):
            yield line


def calls(command: str, program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program in a command."""
    words = shlex.split(command, comments=True)
    for position, word in enumerate(words):
        if word == program and (position == 0 or words[position - 1] in _SEPARATORS or "=" in words[position - 1]):
            rest = words[position + 1 :]
            ends = [place for place, other in enumerate(rest) if other in _SEPARATORS]
            yield rest[: ends[0]] if ends else rest
