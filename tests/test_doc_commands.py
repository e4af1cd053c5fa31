"""The shell commands in the documents: all can be parsed, and those that need nothing but this machine are run."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from pymongo.database import Database

from nhm_assets.cli import main
from tests.support.nhm import NHM, environment, nhm
from tests.support.processes import ROOT
from tests.support.shell_blocks import calls, commands

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
COMMANDS = sorted({command for document in DOCUMENTS for command in commands(document.read_text())})
NHM_CALLS = sorted({shlex.join(call) for command in COMMANDS for call in calls(command, "nhm")})
NEED_A_CLUSTER = {"cluster", "validate"}
"""Their tests are in tests/rollout, and with a real cluster in tests/k8s."""
DEPEND_ON_WHAT_HAPPENED = (
    *("ab ", "adopt", "backup fetch", "generate", "rollback", "status"),
    *("audit technical --version", "lineage technical --version"),
)
"""What they name need not exist here. Then they say so, and their exit code is not 0."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shell_understands_every_command(command: str):
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def parsed(arguments: list[str]) -> None:
    """Parse the arguments of `nhm` as the command line does, without running anything."""
    subcommand = main.get_command(click.Context(main), arguments[0])
    with subcommand.make_context(arguments[0], list(arguments[1:])):
        pass


@pytest.mark.parametrize("call", NHM_CALLS)
def test_every_call_of_nhm_has_the_options_and_arguments_that_the_command_takes(call: str):
    parsed(shlex.split(call))


def test_an_unknown_option_and_a_missing_argument_are_noticed():
    with pytest.raises(click.NoSuchOption):
        parsed(["retrain", "--weeks", "2026-11-15"])
    with pytest.raises(click.MissingParameter):
        parsed(["rollback", "--reason", "it is bad"])


def test_commands_are_found_in_blocks_alone_with_their_continuation():
    text = "Type `nhm status`.\n\n    A=1 nhm seed \\\n      --rebase\n    key: value\n"
    assert [command.split() for command in commands(text)] == [["A=1", "nhm", "seed", "--rebase"]]
    assert list(calls("A=1 nhm seed --rebase && nhm status  # now", "nhm")) == [["seed", "--rebase"], ["status"]]


def differ_in_more_than_reason(calls: list[str]) -> list[str]:
    """One call of those whose only difference is the text of the reason."""
    return list({re.sub(r"--reason '[^']*'", "--reason", call): call for call in calls}.values())


@pytest.mark.servers
@pytest.mark.exhaustive
def test_every_call_of_nhm_works_on_the_sample_feedback(tmp_path: Path, mongod_uri: str, database: Database[Any]):
    settings = {
        "nhm_home": tmp_path / "home",
        "nhm_now": "2026-11-24T12:00:00Z",
        "mongodb_uri": mongod_uri,
        "mongodb_database": database.name,
    }
    assert nhm("seed", **settings).returncode == 0
    assert nhm("retrain", "--week", "2026-11-08", "--specialist", "technical", **settings).returncode == 0
    failed = {}
    for call in sorted(differ_in_more_than_reason(NHM_CALLS), key=lambda call: call.startswith("rollback")):
        if call.split()[0] in NEED_A_CLUSTER:
            continue
        command = [NHM, *shlex.split(call)]
        done = subprocess.run(
            command, env=environment(**settings), cwd=tmp_path, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        may_fail = call.startswith(DEPEND_ON_WHAT_HAPPENED)
        if "Traceback" in said or "Usage:" in said or (done.returncode and not may_fail):
            failed[call] = f"{done.returncode}: {said[-2000:]}"
    assert failed == {}
    assert (tmp_path / "report.json").exists()


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_knows_what_to_do(command: str):
    target = shlex.split(command, comments=True)[1:]
    done = subprocess.run(["make", "-n", *target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
